"""Two folds: what is chosen on one half of the questions is measured on the other."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence


def halves(ids: Sequence[str], bins: Sequence[int], seed: int) -> list[int]:
    """Split every bin into two halves by lot.

    The lot of a question depends on its id and the seed only, never on the order.

    Args:
        ids: Of the questions.
        bins: The bin of each question.
        seed: Of the lot.

    Returns:
        0 or 1 for each question. Of a bin with an odd number of questions, one half has
        one more; such bins take turns, so that all in all the halves are even.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for place, bin_ in enumerate(bins):
        members[bin_].append(place)
    found = [0] * len(ids)
    turn = 0
    for bin_ in sorted(members):
        for place in sorted(members[bin_], key=lambda one: _lot(ids[one], seed)):
            found[place] = turn % 2
            turn += 1
    return found


def _lot(question: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}\n{question}".encode()).hexdigest()
