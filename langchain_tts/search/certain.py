"""What the answer is sure to start with while it is still searched for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from langchain_tts.search.select import finished
from langchain_tts.search.state import Candidate

Certainty = Literal["end", "samples", "frontier", "route"]
"""When it is known what can still become the answer. `end`: when the search is over, as
a new first step may be sampled until then. `samples`: when all N whole answers were
sampled. `frontier`: from the first round on, as only what is on the frontier is
continued. `route`: when the strategy that the search chooses knows it."""


def leaves(tree: Sequence[Candidate]) -> list[int]:
    """The unfinished candidates that nothing continues: what was cut or goes on.

    A rollout and a lost sample continue nothing, nor does an empty step.
    """
    continued = {
        c["parent"]
        for c in tree
        if c["status"] not in {"rollout", "failed"} and c["text"].strip()
    }
    return [
        c["id"]
        for c in tree
        if c["id"] not in continued and c["status"] in {"active", "truncated"}
    ]


def contenders(
    tree: Sequence[Candidate],
    frontier: Collection[int] | None,
    proposed: Sequence[int],
    *,
    stopped: bool = False,
) -> list[int]:
    """The candidates that can become the answer, as they are or by what follows them.

    Once an answer is final, only answers can win, those that are written now among
    them. Before that the search may still end without one, with its most promising
    unfinished text.

    Args:
        tree: The search tree.
        frontier: What the next round expands; None before the first selection.
        proposed: What the last round added.
        stopped: Whether there is no further round.
    """
    selected = frontier is not None and set(frontier) <= set(proposed)
    # An answer that was just proposed may still be pruned.
    waiting = set() if selected else set(proposed)
    answers = finished(tree)
    if all(i in waiting for i in answers):
        return answers + leaves(tree)
    if stopped:
        return answers
    growing = (frontier or ()) if selected else proposed
    return answers + [i for i in growing if tree[i]["status"] == "active"]


def common_start(texts: Sequence[str]) -> str:
    """The longest text that all texts start with; an empty one where there are none."""
    if not texts:
        return ""
    # All others are between the first and the last one in alphabetical order.
    first, last = min(texts), max(texts)
    pairs = enumerate(zip(first, last, strict=False))
    end = next((place for place, (a, b) in pairs if a != b), len(first))
    return first[:end]


def before_stop(text: str, stop: Sequence[str] | None, *, more: bool = False) -> str:
    """The text up to the first stop sequence.

    Args:
        text: The text.
        stop: What ends it.
        more: Whether the text may go on. Then what may be the beginning of a stop
            sequence is held back.
    """
    ends = [len(text)]
    for sequence in filter(None, stop or ()):
        found = text.find(sequence)
        if found >= 0:
            ends.append(found)
        elif more:
            ends += _started(text, sequence)
    return text[: min(ends)]


def _started(text: str, sequence: str) -> list[int]:
    """Where the end of a text begins a sequence."""
    return [
        place
        for place in range(max(0, len(text) - len(sequence) + 1), len(text))
        if sequence.startswith(text[place:])
    ]
