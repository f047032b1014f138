"""Claim 1: accuracy by level, strategy and N."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from benchmarks.repro_arms import BEST_OF_N, Arm, arms_at
from benchmarks.repro_runs import Runs
from benchmarks.repro_text import (
    bullets,
    difference,
    points,
    sentence,
    share,
    table,
    verdict,
)

_RUN = "test-strong"


def accuracy(runs: Runs) -> str:
    """The table of all strategies, and what it says.

    Raises:
        MissingRunError: If the run is not there.
    """
    manifest = runs.manifest(_RUN)
    groups = {"all": sorted(levels(runs)), **by_level(runs)}
    found = {n: arms_at(runs, _RUN, n) for n in manifest["budgets"]}
    lines = [
        [f"`{arm.strategy}`", str(n), *(share(arm.marks(g)) for g in groups.values())]
        for strategy in manifest["strategies"]
        for n, arms in found.items()
        # Greedy is one sample whatever N is.
        if (arm := arms.get(strategy)) and (strategy != "greedy" or n == min(found))
    ]
    sizes = ", ".join(f"{len(ids)} of {name}" for name, ids in groups.items())
    caption = (
        f"Accuracy in % with its 95 % interval; n = {sizes}. Answers by `last`-`max`, "
        "without scores by majority."
    )
    drawn = table(["strategy", "N", *groups], lines)
    said = [_best(n, arms, groups["all"]) for n, arms in found.items()]
    return "\n\n".join([caption, drawn, bullets(said)])


def levels(runs: Runs) -> dict[str, int | None]:
    """The level of each question of the test split, by its id."""
    return {record["id"]: record["level"] for record in runs.run(_RUN).records}


def by_level(runs: Runs) -> dict[str, list[str]]:
    """The ids of each level's questions."""
    found: dict[str, list[str]] = defaultdict(list)
    for one, level in sorted(levels(runs).items()):
        found[f"level {level}"].append(one)
    return {name: found[name] for name in sorted(found)}


def _best(n: int, arms: Mapping[str, Arm], ids: Sequence[str]) -> str:
    """The best strategy at N against best-of-N."""
    if n == 1 or BEST_OF_N not in arms:
        return ""
    base = arms[BEST_OF_N].marks(ids)
    best = max(arms, key=lambda name: sum(arms[name].marks(ids)))
    if best == BEST_OF_N:
        return sentence(f"at N = {n} best-of-N is the most accurate")
    others = {name: difference(arm.marks(ids), base) for name, arm in arms.items()}
    above = sum(verdict(found) == "above" for found in others.values())
    below = sum(verdict(found) == "below" for found in others.values())
    return sentence(
        f"at N = {n} `{best}` is the most accurate: {points(others[best])} points "
        f"against best-of-N (the best of {len(arms)} on these very questions, so a "
        f"little flattered); intervals are above best-of-N for {above} of the "
        f"{len(arms) - 1} others and below for {below}"
    )
