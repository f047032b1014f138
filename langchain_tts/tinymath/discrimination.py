"""How well a verifier tells right steps from wrong ones within one problem."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def within_problem_auc(
    problems: Iterable[Sequence[tuple[Sequence[float], int | None]]],
    seed: int = 0,
    resamples: int = 200,
) -> tuple[float, float]:
    """Chance that a right step outscores a wrong one at the same step of a problem.

    AUC over all steps would reward a verifier that only knows how hard a problem is.
    Here both steps belong to the same problem and the same position, and both follow
    right steps alone.

    Args:
        problems: For each problem its solutions: (score of each step, index of the
            first wrong step or None). Steps after the first wrong one are not used.
        seed: Of the bootstrap over problems.
        resamples: Of the bootstrap.

    Returns:
        The AUC over all pairs (a tie counts one half), and its standard error.

    Raises:
        ValueError: If no problem has a right and a wrong step at the same position.
    """
    counts = np.array([_pairs(solutions) for solutions in problems])
    if not counts.size or not counts[:, 1].sum():
        msg = "no problem has a right and a wrong step at the same position"
        raise ValueError(msg)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(counts), size=(resamples, len(counts)))
    sums = counts[drawn].sum(axis=1)
    won, total = counts.sum(axis=0)
    return float(won / total), float(np.std(sums[:, 0] / sums[:, 1]))


def _pairs(
    solutions: Sequence[tuple[Sequence[float], int | None]],
) -> tuple[float, float]:
    """Pairs won by the right step, and all pairs."""
    won, total = 0.0, 0
    for position in range(max((len(scores) for scores, _ in solutions), default=0)):
        right, wrong = [], []
        for scores, first_wrong in solutions:
            if position >= len(scores):
                continue
            if first_wrong is None or position < first_wrong:
                right.append(scores[position])
            elif position == first_wrong:
                wrong.append(scores[position])
        difference = np.subtract.outer(np.array(right), np.array(wrong))
        won += (difference > 0).sum() + (difference == 0).sum() / 2
        total += difference.size
    return float(won), float(total)
