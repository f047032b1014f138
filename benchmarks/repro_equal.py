"""Claim 3 at equal cost: the compute-optimal search against every fixed strategy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from benchmarks.repro_arms import Arm, Kind, find_arm, searches
from benchmarks.repro_runs import MissingRunError, Pair, Runs
from benchmarks.repro_text import (
    bullets,
    difference,
    listed,
    marked,
    millions,
    points,
    sentence,
    share,
    table,
    verdict,
)
from langchain_tts.search.calibration import Calibration, calibrated_budget
from langchain_tts.strategies.calibrations import read_calibration
from langchain_tts.tinymath import WEIGHTS

_SIZES = (4, 16, 64)
_OPTIMAL = "compute_optimal"
_ABOUT = 0.95
"""A strategy that costs this share costs as much: two searches at the same N may differ
by some tokens."""


class Rival(NamedTuple):
    """A fixed strategy at the N that it is compared at."""

    arm: Arm
    flops: float
    """Mean a question, of policy and verifier."""


def equal_cost(runs: Runs, pair: Pair) -> list[str]:
    """The table of one pair of models, and a sentence for each N.

    Raises:
        MissingRunError: If the compute-optimal search was not run.
    """
    fixed = fixed_strategies(runs, pair)
    lines, said = [], []
    for n in _SIZES:
        try:
            ours = find_arm(runs, pair.optimal, _OPTIMAL, n)
        except MissingRunError:
            continue
        found = rivals(fixed, _flops(ours))
        samples = fmean(
            record["spent"].get("samples", 0)
            for record in searches(runs, pair.optimal, _OPTIMAL, n)
        )
        lines += _lines(ours, samples, found)
        said.append(said_of(ours, found))
    if not lines:
        msg = f"run {pair.optimal!r} has no N at which it is complete yet"
        raise MissingRunError(msg)
    head = ["strategy", "N", "samples", "MFLOP", "accuracy, %", "compute_optimal - it"]
    return [table(head, lines), bullets(said)]


def fixed_strategies(runs: Runs, pair: Pair) -> list[list[Rival]]:
    """Every fixed strategy of a pair of models, at each N that was run."""
    calibration = read_calibration(_calibration(pair))
    arms: dict[str, list[Rival]] = {}
    for run in (one for one in (pair.run, *pair.more) if runs.has(one)):
        manifest = runs.manifest(run)
        for strategy in manifest["strategies"]:
            if strategy == "greedy":
                continue
            for n in manifest["budgets"]:
                kind = _way(calibration, strategy, n)
                try:
                    arm = find_arm(runs, run, strategy, n, kind)
                except MissingRunError:
                    continue
                arms.setdefault(strategy, []).append(Rival(arm, _flops(arm)))
    return list(arms.values())


def rivals(fixed: Sequence[Sequence[Rival]], least: float) -> list[Rival]:
    """Every fixed strategy at the smallest N that was run and costs enough.

    Args:
        fixed: Each of them at all N.
        least: FLOPs. A strategy that costs less at every N is there at its largest.
    """
    return [
        min(
            (one for one in found if one.flops >= _ABOUT * least),
            key=lambda one: one.flops,
            default=max(found, key=lambda one: one.flops),
        )
        for found in fixed
    ]


def said_of(ours: Arm, found: Sequence[Rival]) -> str:
    """One sentence about one N.

    Args:
        ours: The compute-optimal search.
        found: The strategies that it is compared with.
    """
    ids = sorted(ours.results)
    gains = {
        rival.arm.strategy: difference(ours.marks(ids), rival.arm.marks(ids))
        for rival in found
    }
    above, below = (
        [f"`{name}`" for name, gain in gains.items() if verdict(gain) == word]
        for word in ("above", "below")
    )
    name, gain = min(gains.items(), key=lambda item: item[1].difference)
    return sentence(
        f"N = {ours.n}: intervals are above {len(above)} of the {len(gains)} fixed "
        f"strategies ({listed(above)}) and below {len(below)} ({listed(below)}); "
        f"against the best of them, `{name}`, {points(gain)} points"
    )


def _lines(ours: Arm, samples: float, found: Sequence[Rival]) -> list[list[str]]:
    ids = sorted(ours.results)
    marks = ours.marks(ids)
    first = [
        *(f"**`{_OPTIMAL}`**", str(ours.n), f"{samples:.1f}"),
        *(millions(_flops(ours)), share(marks), "–"),
    ]
    ordered = sorted(found, key=lambda one: -fmean(one.arm.marks(ids)))
    return [first] + [
        [
            *(f"`{one.arm.strategy}`", str(one.arm.n), str(one.arm.n)),
            *(millions(one.flops), share(one.arm.marks(ids))),
            marked(difference(marks, one.arm.marks(ids))),
        ]
        for one in ordered
    ]


def _flops(arm: Arm) -> float:
    return arm.flops(sorted(arm.results))


def _calibration(pair: Pair) -> Path:
    return WEIGHTS.parent / "calibrations" / f"tinymath-{pair.prm}.json"


def _way(calibration: Calibration, strategy: str, n: int) -> Kind | None:
    """How a strategy answers best at N, on the questions of the calibration.

    None where it was not calibrated: it answers by the package's default then.
    """
    for way in calibration["ways"][calibrated_budget(calibration, n)]:
        if way["strategy"] == strategy:
            majority = way["vote"] == "majority"
            return None if majority else way["score"], way["vote"]
    return None
