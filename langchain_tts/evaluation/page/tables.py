"""The sequential:parallel bars, the score x vote table, and predicted difficulty."""

from __future__ import annotations

from dataclasses import dataclass

from langchain_tts.evaluation.page.bins import Bins
from langchain_tts.evaluation.page.curves import families, shown
from langchain_tts.evaluation.page.names import ratio, split_label
from langchain_tts.evaluation.page.resampling import Bootstrap, Estimate
from langchain_tts.evaluation.page.study import Arm, Setting, Way
from langchain_tts.search.vote import COMBINATIONS

_RATIO = "sequential_to_parallel"


@dataclass(frozen=True)
class Bars:
    """Accuracy by ratio of sequential to parallel revisions.

    Args:
        ratios: Most parallel first, as they are written.
        by_budget: For each N the accuracies at those ratios that were run at it.
        budget: The N of the bars.
        by_bin: For each group of questions its size, and the accuracies at `budget`.
    """

    ratios: list[str]
    by_budget: dict[int, dict[str, Estimate]]
    budget: int
    by_bin: dict[str, tuple[int, dict[str, Estimate]]]


def ratio_bars(
    setting: Setting, bins: Bins | None, bootstrap: Bootstrap
) -> Bars | None:
    """The bars; None unless two or more ratios were run."""
    labels = [
        label
        for label in families(setting).get("revision", [])
        if split_label(label)[1].keys() == {_RATIO}
    ]
    labels.sort(key=lambda label: float(split_label(label)[1][_RATIO]))
    if len(labels) < 2:  # noqa: PLR2004 (one bar compares nothing)
        return None
    names = {label: ratio(split_label(label)[1][_RATIO]) for label in labels}
    budgets = sorted({n for label in labels for n in setting.arms[label] if n > 1})
    arms: dict[int, dict[str, Arm]] = {
        n: {
            names[label]: setting.arms[label][n]
            for label in labels
            if n in setting.arms[label]
        }
        for n in budgets
    }
    most = max(arms, key=lambda n: (len(arms[n]), n))
    groups = [] if bins is None else bins.masks()
    return Bars(
        ratios=list(names.values()),
        by_budget={
            n: {name: bootstrap.estimate(shown(arm)) for name, arm in of.items()}
            for n, of in arms.items()
        },
        budget=most,
        by_bin={
            group: (
                int(mask.sum()),
                {
                    name: bootstrap.estimate(shown(arm), mask)
                    for name, arm in arms[most].items()
                },
            )
            for group, mask in groups
        },
    )


@dataclass(frozen=True)
class Votes:
    """Accuracy of each strategy by each combination of score and vote.

    Args:
        ways: The columns.
        rows: Strategy, its N, and an accuracy or None for each column.
    """

    ways: list[Way]
    rows: list[tuple[str, int, list[Estimate | None]]]


def votes(setting: Setting, bootstrap: Bootstrap) -> Votes | None:
    """The table at each strategy's largest N; None if nothing was scored."""
    arms = [of[max(of)] for of in setting.arms.values()]
    scored = [arm for arm in arms if len(arm.right) > 1]
    ways = [way for way in COMBINATIONS if any(way in arm.right for arm in scored)]
    if len(ways) < 2:  # noqa: PLR2004 (majority alone compares nothing)
        return None
    rows = [
        (
            arm.strategy,
            arm.budget,
            [
                bootstrap.estimate(arm.right[way]) if way in arm.right else None
                for way in ways
            ],
        )
        for arm in arms
        if arm.budget > 1
    ]
    return Votes(ways, rows)
