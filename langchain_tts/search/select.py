"""Selection: which candidates survive a round, and how many children each gets.

How a budget of N maps to a beam width of M is stated once, here: there are
`max(1, N // M)` beams, and every round proposes exactly as many steps as there are
places left of N. Where N is not divisible by M the beams share the places evenly, the
better ones first, so the width is stretched and the budget is never exceeded nor left
unused: N = 10, M = 4 gives two beams of five children, and N < M one beam of N.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from langchain_tts.search.state import Candidate
from langchain_tts.search.ties import logprob_key, score_key


class Selection(NamedTuple):
    """What becomes of the candidates of one round."""

    kept: list[int]
    """Ids of the candidates that are expanded next, best first."""
    pruned: list[int]
    memory: Mapping[str, Any] = MappingProxyType({})
    """What the strategy has to know later: values for channels of the state."""


def beam_count(places: int, width: int) -> int:
    """How many beams `places` proposals are shared over, at `width` children each."""
    return max(1, places // width)


def share(total: int, parts: int) -> list[int]:
    """Split `total` over `parts` as evenly as possible, larger shares first.

    Args:
        total: What is shared, at least 0.
        parts: Among how many, at least 0.

    Returns:
        `parts` numbers that add up to `total` (an empty list for no parts).
    """
    if parts == 0:
        return []
    each, more = divmod(total, parts)
    return [each + 1] * more + [each] * (parts - more)


def take_away(counts: Sequence[int], total: int) -> list[int]:
    """Cut `counts` down to a sum of `total`, one at a time from the largest.

    Among equals the last, which is the worst beam, loses first.
    """
    left = list(counts)
    for _ in range(sum(left) - total):
        largest = max(left)
        last = len(left) - 1 - left[::-1].index(largest)
        left[last] -= 1
    return left


def rank(tree: Sequence[Candidate], ids: Iterable[int]) -> list[int]:
    """Order candidates by PRM score, ties by log-probability of the step, then by id.

    Candidates without a score come after all that have one.
    """

    def merit(candidate_id: int) -> tuple[bool, float, float, int]:
        candidate = tree[candidate_id]
        score = candidate["score"]
        return (
            score is None,
            -score_key(score or 0.0),
            -logprob_key(candidate["logprob"]),
            candidate_id,
        )

    return sorted(ids, key=merit)


def expandable(tree: Sequence[Candidate], ids: Iterable[int]) -> list[int]:
    """Those of `ids` that can be continued: active, and not an empty step.

    An empty step repeats the prefix before it, so it would keep that prefix's score
    without having done anything for it.
    """
    return [
        candidate_id
        for candidate_id in ids
        if tree[candidate_id]["status"] == "active"
        and tree[candidate_id]["text"].strip()
    ]


def finished(tree: Sequence[Candidate]) -> list[int]:
    """Ids of the complete answers."""
    return [c["id"] for c in tree if c["status"] == "finished"]


def keep_best(
    tree: Sequence[Candidate], proposed: Iterable[int], places: int, width: int
) -> Selection:
    """Keep the best `max(1, places // width)` of the proposed steps.

    Duplicates compete as the samples they are (Snell et al. 2024 do not merge them).

    Args:
        tree: The search tree.
        proposed: Ids of the last round's candidates.
        places: Proposals that the next round may make; none are kept for 0.
        width: M.

    Returns:
        The beams, and the active candidates that are none.
    """
    active = [i for i in proposed if tree[i]["status"] == "active"]
    best = rank(tree, expandable(tree, active)) if places > 0 else []
    kept = best[: beam_count(places, width)]
    beams = set(kept)
    return Selection(kept, [i for i in active if i not in beams])


def keep_best_or_final(
    tree: Sequence[Candidate], proposed: Iterable[int], beams: int
) -> Selection:
    """Keep the best proposed steps, answers among them (Liu et al. 2025).

    A complete answer competes with the steps; one that is kept is a final candidate and
    one that is not is pruned.

    Args:
        tree: The search tree.
        proposed: Ids of the last round's candidates.
        beams: How many are kept.

    Returns:
        The kept ones that can be continued, and all that were not kept.
    """
    going = [i for i in proposed if tree[i]["status"] in {"active", "finished"}]
    answers = [i for i in going if tree[i]["status"] == "finished"]
    best = rank(tree, [*expandable(tree, going), *answers])[:beams]
    survivors = set(best)
    return Selection(
        kept=[i for i in best if tree[i]["status"] == "active"],
        pruned=[i for i in going if i not in survivors],
    )


def roots(tree: Sequence[Candidate]) -> list[int]:
    """Ids of the first steps, in the order in which they were sampled."""
    return [c["id"] for c in tree if c["parent"] is None]


def subtrees(tree: Sequence[Candidate], count: int, first: int = 0) -> list[int]:
    """The subtree that each candidate belongs to.

    First steps are dealt to subtrees in order (`share`), later steps follow their
    parent.

    Args:
        tree: The search tree.
        count: Number of subtrees.
        first: The place of the first root that belongs to one.

    Returns:
        For each candidate the index of its subtree; -1 where it belongs to none.
    """
    earlier, first_steps = roots(tree)[:first], roots(tree)[first:]
    owner = dict.fromkeys(earlier, -1)
    start = 0
    for subtree, size in enumerate(share(len(first_steps), count)):
        for root in first_steps[start : start + size]:
            owner[root] = subtree
        start += size
    found: list[int] = []
    for candidate in tree:
        parent = candidate["parent"]
        found.append(owner[candidate["id"]] if parent is None else found[parent])
    return found


def keep_best_of_subtrees(
    tree: Sequence[Candidate], proposed: Iterable[int], owner: Sequence[int]
) -> Selection:
    """Keep the best proposal of each subtree; a subtree whose best is an answer ends.

    Args:
        tree: The search tree.
        proposed: Ids of the last round's candidates.
        owner: The subtree of each candidate (`subtrees`).

    Returns:
        At most one candidate a subtree, in the order of the subtrees, and the active
        candidates that were not kept.
    """
    groups: dict[int, list[int]] = {}
    for candidate_id in proposed:
        groups.setdefault(owner[candidate_id], []).append(candidate_id)
    kept: list[int] = []
    pruned: list[int] = []
    for _, group in sorted(groups.items()):
        active = [i for i in group if tree[i]["status"] == "active"]
        answers = [i for i in group if tree[i]["status"] == "finished"]
        best = rank(tree, [*expandable(tree, active), *answers])[:1]
        best = [i for i in best if tree[i]["status"] == "active"]
        kept += best
        pruned += [i for i in active if i not in best]
    return Selection(kept, pruned)


def first_of_equals(tree: Sequence[Candidate]) -> list[int]:
    """For each candidate the first one whose text is the same from the question on.

    An empty step stands for its parent: their texts are equal.
    """
    known: dict[tuple[int | None, str], int] = {}
    equal: list[int] = []
    for candidate in tree:
        parent = candidate["parent"]
        above = None if parent is None else equal[parent]
        text = candidate["text"]
        if not text.strip() and above is not None:
            equal.append(above)
        else:
            equal.append(known.setdefault((above, text), candidate["id"]))
    return equal
