"""Accuracy against the budget N, over all questions and in groups of them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from langchain_tts.evaluation.estimates import pass_at_k
from langchain_tts.evaluation.page.names import family, split_label, title, usual
from langchain_tts.evaluation.page.resampling import Bootstrap, Estimate
from langchain_tts.evaluation.page.study import Arm, Floats, Samples, Setting

PASS = "pass@N"  # noqa: S105 (no password)
"""The key of the curve of an oracle that always finds the right sample."""


@dataclass(frozen=True)
class Curve:
    """A line of a figure.

    Args:
        key: What its color stands for: a strategy's name, or `PASS`.
        label: The strategy with its parameters as it is in the run; empty for none.
        title: What people call it.
        budgets: N of its points, ascending.
        points: Accuracy at each.
    """

    key: str
    label: str
    title: str
    budgets: list[float]
    points: list[Estimate]


@dataclass(frozen=True)
class Panel:
    """A part of a figure: a group of questions."""

    name: str
    questions: int
    curves: list[Curve]


def families(setting: Setting) -> dict[str, list[str]]:
    """The variants of each strategy, by its name."""
    found: dict[str, list[str]] = defaultdict(list)
    for label in setting.arms:
        found[split_label(label)[0]].append(label)
    return dict(found)


def curve(
    setting: Setting,
    label: str,
    bootstrap: Bootstrap,
    mask: NDArray[np.bool_] | None = None,
    *,
    name: str | None = None,
) -> Curve:
    """The curve of a strategy, answering as it was told to."""
    arms = setting.arms[label]
    return Curve(
        key=split_label(label)[0],
        label=label,
        title=title(label) if name is None else name,
        budgets=[float(budget) for budget in arms],
        points=[bootstrap.estimate(shown(arm), mask) for arm in arms.values()],
    )


def shown(arm: Arm) -> Floats:
    """Who was right by the way in which the searches answered."""
    return arm.right[arm.shown]


def panel(
    setting: Setting,
    bootstrap: Bootstrap,
    name: str = "all questions",
    mask: NDArray[np.bool_] | None = None,
) -> Panel:
    """One curve for each strategy by its usual variant, and pass@N."""
    curves = [
        curve(setting, usual(labels), bootstrap, mask, name=_name(labels))
        for labels in families(setting).values()
    ]
    budgets = sorted({n for c in curves if c.key != "greedy" for n in c.budgets})
    if setting.samples is not None:
        curves.append(_oracle(setting.samples, budgets, bootstrap, mask))
    count = len(setting.ids) if mask is None else int(mask.sum())
    return Panel(name, count, curves)


def variants(setting: Setting, bootstrap: Bootstrap) -> list[Panel]:
    """A panel for each strategy that was run with several parameters."""
    return [
        Panel(
            family(name),
            len(setting.ids),
            [curve(setting, label, bootstrap) for label in labels],
        )
        for name, labels in families(setting).items()
        if len(labels) > 1 and name != "revision"
    ]


def pass_at(samples: Samples, k: int) -> Floats:
    """How probable it is that one of k samples is right, by question."""
    pairs = zip(samples.count.tolist(), samples.right.tolist(), strict=True)
    return np.array([pass_at_k(int(n), int(right), k) for n, right in pairs])


def _name(labels: list[str]) -> str:
    """What a strategy is called: with its parameters only where there are others."""
    chosen = usual(labels)
    return title(chosen) if len(labels) > 1 else family(chosen)


def _oracle(
    samples: Samples,
    budgets: list[float],
    bootstrap: Bootstrap,
    mask: NDArray[np.bool_] | None,
) -> Curve:
    sizes = [n for n in budgets if n <= samples.count.min()]
    points = [bootstrap.estimate(pass_at(samples, int(n)), mask) for n in sizes]
    return Curve(PASS, "", PASS, sizes, points)
