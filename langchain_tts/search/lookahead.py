"""Lookahead: steps that are judged by where the most likely next steps lead.

Snell et al. 2024 (section 5.2). A rollout is a chain of candidates with the status
`rollout` under the proposed step that it judges. Proposed steps whose texts are equal
from the question on share the rollout of the first of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from langchain_tts.search.select import expandable, first_of_equals
from langchain_tts.search.state import Candidate


def affordable(samples: int, steps: int) -> int:
    """How many steps ahead a budget allows: one place must be left for each.

    Args:
        samples: N.
        steps: k, the steps wanted.
    """
    return min(steps, samples - 1)


def place_count(samples: int, steps: int) -> int:
    """How many proposals a round may have, if each costs itself and its rollout."""
    return samples // (affordable(samples, steps) + 1)


def open_rollouts(
    tree: Sequence[Candidate], proposed: Iterable[int], steps: int, deepest: int
) -> list[int]:
    """Where the rollouts of a round go on.

    Args:
        tree: The search tree.
        proposed: Ids of the last round's candidates.
        steps: k, how long a rollout is.
        deepest: The depth that no answer may pass.

    Returns:
        For each rollout that is not at its end the last step that it has: the proposed
        step itself where it has none.
    """
    if not steps:
        return []
    equal = first_of_equals(tree)
    firsts: dict[int, int] = {}
    for candidate_id in expandable(tree, proposed):
        firsts.setdefault(equal[candidate_id], candidate_id)
    ends = _ends(tree)
    found = []
    for step in firsts.values():
        end = tree[ends.get(step, step)]
        length = end["depth"] - tree[step]["depth"]
        going = end["finish_reason"] == "step" and end["text"].strip()
        if going and length < steps and end["depth"] < deepest:
            found.append(end["id"])
    return found


def judged_at(tree: Sequence[Candidate], equal: Sequence[int]) -> list[int]:
    """For each candidate the one whose prefix the verifier reads to judge it.

    That is the last whole step of its rollout, or the candidate itself where there is
    none: a complete answer is judged as it is.

    Args:
        tree: The search tree.
        equal: For each candidate the first one with the same text (`first_of_equals`).
    """
    whole: dict[int, int] = {}
    for step, end in _ends(tree).items():
        cut = tree[end]["finish_reason"] in {"length", "failed"}
        parent = tree[end]["parent"]
        whole[equal[step]] = parent if cut and parent is not None else end
    return [
        candidate["id"]
        if candidate["status"] in {"finished", "rollout"}
        else whole.get(equal[candidate["id"]], candidate["id"])
        for candidate in tree
    ]


def _ends(tree: Sequence[Candidate]) -> dict[int, int]:
    """For each step that has a rollout the last candidate of it."""
    judged: dict[int, int] = {}
    ends: dict[int, int] = {}
    for candidate in tree:
        parent = candidate["parent"]
        if candidate["status"] == "rollout" and parent is not None:
            step = judged.get(parent, parent)
            judged[candidate["id"]] = step
            ends[step] = candidate["id"]
    return ends
