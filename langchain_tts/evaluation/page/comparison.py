"""Compute-optimal against best-of-N: how much less compute for the same accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from langchain_tts.evaluation.page.bins import predicted_bins, quantile_bins
from langchain_tts.evaluation.page.costs import cost, flops
from langchain_tts.evaluation.page.curves import families, shown
from langchain_tts.evaluation.page.efficiency import Factor, factors
from langchain_tts.evaluation.page.names import family, split_label, usual
from langchain_tts.evaluation.page.optimal import Held, offline
from langchain_tts.evaluation.page.resampling import Bootstrap, Estimate
from langchain_tts.evaluation.page.study import Floats, Setting

BASELINE, ONLINE = "best_of_n", "compute_optimal"

ORACLE, PREDICTED = "chosen per oracle bin", "chosen per predicted bin"
FIXED = "one choice for all"
"""The keys of what two folds chose."""


@dataclass(frozen=True)
class Line:
    """A curve with everything that it can be compared by.

    Args:
        key: What its color stands for.
        title: What people call it.
        budgets: N of its points, ascending.
        flops: Of policy and verifier a question; None where they are not known.
        right: By point and question.
        points: Accuracies.
    """

    key: str
    title: str
    budgets: list[float]
    flops: list[float] | None
    right: list[Floats]
    points: list[Estimate]


@dataclass(frozen=True)
class Comparison:
    """Compute-optimal lines against best-of-N.

    Args:
        baseline: Best-of-N.
        lines: Charged online, and chosen offline for each predicted and oracle bin.
        fixed: Chosen offline for all questions; None without such a choice.
        by_budget: For each of `lines` its factors of N.
        by_flops: For each of `lines` its factors of FLOPs; empty if not known.
        choices: What the folds of each oracle bin chose, by N.
        bins: How many questions each oracle bin has.
    """

    baseline: Line
    lines: list[Line]
    fixed: Line | None
    by_budget: list[list[Factor]]
    by_flops: list[list[Factor]]
    choices: dict[int, list[list[str]]]
    bins: list[int]


def comparison(setting: Setting, bootstrap: Bootstrap) -> Comparison | None:
    """Compare compute-optimal with best-of-N; None where either is missing."""
    variants = families(setting)
    if BASELINE not in variants:
        return None
    base = _measured(setting, usual(variants[BASELINE]), bootstrap)
    if len(base.budgets) < 2:  # noqa: PLR2004 (a line has two ends)
        return None
    lines = [_measured(setting, one, bootstrap) for one in variants.get(ONLINE, [])]
    bins: list[int] = []
    choices: dict[int, list[list[str]]] = {}
    fixed = None
    for key, of in _offline_bins(setting).items():
        chosen = offline(setting, of.tolist())
        if not chosen:
            break
        by_bin = {n: one.by_bin for n, one in chosen.items()}
        lines.append(_held(setting, key, by_bin, bootstrap))
        if key == ORACLE:
            over_all = {n: one.fixed for n, one in chosen.items()}
            fixed = _held(setting, FIXED, over_all, bootstrap)
            choices = {n: one.strategies for n, one in chosen.items()}
            bins = np.bincount(of).tolist()
    if not lines:
        return None
    return Comparison(
        baseline=base,
        lines=lines,
        fixed=fixed,
        by_budget=[
            _factors(line, line.budgets, base, base.budgets, bootstrap)
            for line in lines
        ],
        by_flops=[
            _factors(line, line.flops, base, base.flops, bootstrap) for line in lines
        ],
        choices=choices,
        bins=bins,
    )


def _offline_bins(setting: Setting) -> dict[str, NDArray[np.int64]]:
    if setting.samples is None:
        return {}
    oracle = {ORACLE: quantile_bins(setting.samples.pass_at_1).of}
    predicted = predicted_bins(setting.samples)
    return oracle if predicted is None else {PREDICTED: predicted.of, **oracle}


def _measured(setting: Setting, label: str, bootstrap: Bootstrap) -> Line:
    arms = setting.arms[label]
    right = [shown(arm) for arm in arms.values()]
    return Line(
        key=split_label(label)[0],
        title=family(label),
        budgets=[float(n) for n in arms],
        flops=_known([cost(setting, arm).both for arm in arms.values()]),
        right=right,
        points=[bootstrap.estimate(marks) for marks in right],
    )


def _held(
    setting: Setting, key: str, held: Mapping[int, Held], bootstrap: Bootstrap
) -> Line:
    spent = [
        flops(setting, float(one.tokens.mean()), float(one.read.mean()))
        for one in held.values()
    ]
    return Line(
        key=key,
        title=key,
        budgets=[float(n) for n in held],
        flops=_known(
            [None if p is None or r is None else p + r for p, r in spent],
        ),
        right=[one.right for one in held.values()],
        points=[bootstrap.estimate(one.right) for one in held.values()],
    )


def _known(spent: Sequence[float | None]) -> list[float] | None:
    known = [one for one in spent if one]
    return known if len(known) == len(spent) else None


def _factors(
    line: Line,
    ours: Sequence[float] | None,
    base: Line,
    theirs: Sequence[float] | None,
    bootstrap: Bootstrap,
) -> list[Factor]:
    if ours is None or theirs is None:
        return []
    # With one sample there is nothing to choose.
    kept = [place for place, n in enumerate(line.budgets) if n > 1]
    return factors(
        (
            [ours[place] for place in kept],
            [line.points[place].value for place in kept],
        ),
        (theirs, [point.value for point in base.points]),
        (
            [bootstrap.means(line.right[place]) for place in kept],
            [bootstrap.means(marks) for marks in base.right],
        ),
    )
