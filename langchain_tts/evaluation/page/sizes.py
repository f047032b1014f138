"""A small policy with search against larger policies without: accuracy and FLOPs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langchain_tts.evaluation.page.comparison import BASELINE, ONLINE
from langchain_tts.evaluation.page.costs import cost
from langchain_tts.evaluation.page.curves import families, shown
from langchain_tts.evaluation.page.names import family, usual
from langchain_tts.evaluation.page.resampling import Bootstrap, Estimate
from langchain_tts.evaluation.page.study import Arm, Floats, Setting

_SEARCHES = ("majority_vote", BASELINE, "beam_search", ONLINE)
"""What small policies are shown with: the papers' baselines and their best."""


@dataclass(frozen=True)
class Mark:
    """A policy with a strategy at one N.

    Args:
        budget: N.
        policy_flops: A question, of the policy alone.
        flops: With the verifier's.
        right: By question.
        point: Accuracy.
    """

    budget: int
    policy_flops: float
    flops: float
    right: Floats
    point: Estimate


@dataclass(frozen=True)
class Greedy:
    """A policy that answers once, without search."""

    policy: str
    parameters: int
    mark: Mark


@dataclass(frozen=True)
class Searched:
    """A policy that is searched with a strategy."""

    policy: str
    prm: str | None
    key: str
    title: str
    marks: list[Mark]


@dataclass(frozen=True)
class Sizes:
    """Policies of several sizes on one axis of FLOPs.

    Args:
        greedy: Greedy answers, the largest policy's first.
        searched: Searches with policies that are smaller than the largest.
        match: The cheapest search that is at least as accurate as the largest policy's
            greedy answer, with what it is of; None if there is none.
        gap: By how much `match` is more accurate, question by question.
    """

    greedy: list[Greedy]
    searched: list[Searched]
    match: tuple[Searched, Mark] | None
    gap: Estimate | None


def sizes(settings: Sequence[Setting], bootstrap: Bootstrap) -> Sizes | None:
    """Compare policies of known size; None unless two sizes answered greedily."""
    greedy = _greedy(settings, bootstrap)
    if len({one.parameters for one in greedy}) < 2:  # noqa: PLR2004 (small and large)
        return None
    top = greedy[0]
    searched = [
        one
        for setting in settings
        if 0 < setting.manifest["policy_parameters"] < top.parameters
        for one in _searched(setting, bootstrap)
    ]
    if not searched:
        return None
    reaching = [
        (one, mark)
        for one in searched
        for mark in one.marks
        if mark.point.value >= top.mark.point.value
    ]
    match = min(reaching, key=lambda pair: pair[1].flops, default=None)
    gap = None
    if match is not None:
        gap = bootstrap.estimate(match[1].right - top.mark.right)
    return Sizes(greedy, searched, match, gap)


def _greedy(settings: Sequence[Setting], bootstrap: Bootstrap) -> list[Greedy]:
    found: dict[str, Greedy] = {}
    for setting in settings:
        size = setting.manifest["policy_parameters"]
        if "greedy" in setting.arms and size:
            arm = next(iter(setting.arms["greedy"].values()))
            name = setting.manifest["policy"]
            found.setdefault(name, Greedy(name, size, _mark(setting, arm, bootstrap)))
    return sorted(found.values(), key=lambda one: -one.parameters)


def _searched(setting: Setting, bootstrap: Bootstrap) -> list[Searched]:
    return [
        Searched(
            policy=setting.manifest["policy"],
            prm=setting.manifest["prm"],
            key=name,
            title=family(name),
            marks=[_mark(setting, arm, bootstrap) for arm in arms.values()],
        )
        for name, labels in families(setting).items()
        if name in _SEARCHES
        and (arms := setting.arms[usual(labels)])
        and all(cost(setting, arm).both is not None for arm in arms.values())
    ]


def _mark(setting: Setting, arm: Arm, bootstrap: Bootstrap) -> Mark:
    spent = cost(setting, arm)
    policy = spent.policy or 0.0
    return Mark(
        budget=arm.budget,
        policy_flops=policy,
        flops=policy + (spent.prm or 0.0),
        right=shown(arm),
        point=bootstrap.estimate(shown(arm)),
    )
