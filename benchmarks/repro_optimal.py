"""Claim 3: how much less compute the compute-optimal choice needs than best-of-N."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.repro_arms import BEST_OF_N, Arm, find_arm
from benchmarks.repro_bins import Bins, oracle_bins, predicted_bins
from benchmarks.repro_curve import (
    Curve,
    Factor,
    best_of_n_curve,
    flops_factor,
    samples_factor,
)
from benchmarks.repro_equal import equal_cost
from benchmarks.repro_folds import Chosen, two_fold
from benchmarks.repro_runs import PAIRS, MissingRunError, Pair, Runs
from benchmarks.repro_text import (
    bullets,
    difference,
    listed,
    points,
    sentence,
    share,
    table,
    verdict,
)

_SIZES = (4, 16, 64)
_ONLINE = "online, charged, calibrated on other questions"


class Compared(NamedTuple):
    """One way of choosing at one N."""

    way: str
    arm: Arm
    base: Arm
    """Best-of-N at the same N."""
    fixed: Arm | None
    """One strategy for all questions, chosen on other ones."""


def compute_optimal(runs: Runs) -> str:
    """What choosing gains with each verifier, and what it costs.

    Raises:
        MissingRunError: If there is nothing to choose between.
    """
    parts = _pair(runs, PAIRS[0])
    for pair in PAIRS[1:]:
        try:
            parts += _pair(runs, pair)
        except MissingRunError as error:
            parts.append(f"**The {pair.name} verifier.** Not measured: {error}.")
    return "\n\n".join(parts)


def _pair(runs: Runs, pair: Pair) -> list[str]:
    """The efficiency factors of one pair of models, and what was chosen.

    Raises:
        MissingRunError: If there is nothing to choose between.
    """
    ways = {
        "offline, oracle bins": oracle_bins(runs),
        "offline, predicted bins": predicted_bins(runs, pair.run),
    }
    offline = {way: _offline(runs, pair, bins) for way, bins in ways.items()}
    compared = [
        Compared(
            way, chosen.by_bin, find_arm(runs, pair.run, BEST_OF_N, n), chosen.fixed
        )
        for way, found in offline.items()
        for n, chosen in found.items()
    ]
    if not compared:
        msg = f"run {pair.run!r} has no N at which two strategies are complete yet"
        raise MissingRunError(msg)
    online = _online(runs, pair, offline["offline, oracle bins"])
    curve = best_of_n_curve(runs, pair)
    most = curve.marks.shape[1]
    caption = (
        f"**The {pair.name} verifier (`{pair.prm}`).** n = {len(curve.ids)}. Factors: "
        "how many times the N, or the FLOPs of policy and verifier, best-of-N needs "
        f"to be as accurate, at the first N that is (it was run up to N = {most}); "
        "the papers: about 4x (Snell et al.)."
    )
    head = [
        *("choice", "N", "accuracy, %", "best-of-N, %", "- best-of-N"),
        *("- best fixed strategy", "factor in N", "factor in FLOPs"),
    ]
    return [
        caption,
        table(head, [_line(curve, one) for one in compared + online]),
        bullets(said(one, samples_factor(curve, one.arm)) for one in online),
        *_equal(runs, pair),
        "What the two halves of each oracle bin chose (one name: both the same):",
        _choices(offline["offline, oracle bins"], ways["offline, oracle bins"]),
    ]


def _equal(runs: Runs, pair: Pair) -> list[str]:
    try:
        found = equal_cost(runs, pair)
    except MissingRunError as error:
        return [f"At the same cost: not measured ({error})."]
    caption = (
        "At the same cost: each fixed strategy at the smallest N that was run at which "
        "it costs at least 95 % of the search that chooses, where there is one. "
        "Score and vote are those that are best for it on the calibration's "
        "questions. FLOPs are of policy and verifier; differences are paired, bold "
        "where 0 is outside."
    )
    return [caption, *found]


def said(one: Compared, factor: Factor) -> str:
    """One sentence about one way of choosing at one N."""
    ids = sorted(one.arm.results)
    gain = difference(one.arm.marks(ids), one.base.marks(ids))
    text = (
        f"{one.way}, N = {one.arm.n}: {points(gain)} points against best-of-N "
        f"({verdict(gain)}), factor {factor.text()}"
    )
    if one.fixed is not None:
        better = difference(one.arm.marks(ids), one.fixed.marks(ids))
        text += (
            f"; {points(better)} against the one strategy that is best for all "
            f"questions ({verdict(better)})"
        )
    return sentence(text)


def _offline(runs: Runs, pair: Pair, bins: Bins) -> dict[int, Chosen]:
    found = {}
    for n in _SIZES:
        try:
            found[n] = two_fold(runs, pair.run, n, bins)
        except MissingRunError:
            continue
    return found


def _online(runs: Runs, pair: Pair, offline: dict[int, Chosen]) -> list[Compared]:
    """The strategy of that name, where it was run."""
    found = []
    for n in _SIZES:
        try:
            arm = find_arm(runs, pair.optimal, "compute_optimal", n)
            base = find_arm(runs, pair.run, BEST_OF_N, n)
        except MissingRunError:
            continue
        fixed = offline[n].fixed if n in offline else None
        found.append(Compared(_ONLINE, arm, base, fixed))
    return found


def _line(curve: Curve, one: Compared) -> list[str]:
    ids = curve.ids
    marks, base = one.arm.marks(ids), one.base.marks(ids)
    fixed = "–"
    if one.fixed is not None:
        fixed = points(difference(marks, one.fixed.marks(ids)))
    return [
        one.way,
        str(one.arm.n),
        share(marks),
        share(base),
        points(difference(marks, base)),
        fixed,
        samples_factor(curve, one.arm).text(),
        flops_factor(curve, one.arm).text(),
    ]


def _choices(found: dict[int, Chosen], bins: Bins) -> str:
    head = ["N", *(name for name in bins.named() if name != "all")]
    lines = [
        [str(n), *(listed(names) for names in chosen.names.values())]
        for n, chosen in found.items()
    ]
    return table(head, lines)
