"""Claim 2: where beam search beats best-of-N, and where it over-optimizes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from benchmarks.repro_arms import (
    BEAM,
    BEST_OF_N,
    Arm,
    best_by_score,
    find_arm,
    last_score,
    searches,
)
from benchmarks.repro_bins import Bins, oracle_bins
from benchmarks.repro_costs import first_finals
from benchmarks.repro_runs import PAIRS, MissingRunError, Pair, Runs
from benchmarks.repro_text import (
    Difference,
    bullets,
    difference,
    listed,
    marked,
    points,
    sentence,
    share,
    table,
    verdict,
)

_VERIFIERS = {pair.run: pair.name for pair in PAIRS}


class Cell(NamedTuple):
    """Beam search minus best-of-N in one bin at one N."""

    column: str
    n: int
    found: Difference


def beam_search(runs: Runs) -> str:
    """The tables of each verifier, and what they say.

    Raises:
        MissingRunError: If there is no N at which both were run.
    """
    bins = oracle_bins(runs)
    sizes = ", ".join(f"{len(ids)} in {name}" for name, ids in bins.named().items())
    caption = (
        f"`{BEAM}` minus `{BEST_OF_N}` in percentage points, paired, with 95 % "
        f"intervals; bold where 0 is outside. Oracle bins from {bins.source}, bin 1 "
        f"is the easiest; n = {sizes}."
    )
    parts = [caption, *_compared(runs, PAIRS[0], bins)]
    for pair in PAIRS[1:]:
        try:
            parts += _compared(runs, pair, bins)
        except MissingRunError:
            continue
    judgments = (
        "What the verifier thinks of the answer it chose, and whether it is right:"
    )
    return "\n\n".join([*parts, judgments, *_optimized(runs, bins)])


def _compared(runs: Runs, pair: Pair, bins: Bins) -> list[str]:
    """Both strategies with one verifier.

    Raises:
        MissingRunError: If there is no N at which both were run.
    """
    cells = [cell for n in _sizes(runs, pair) for cell in _cells(runs, pair, n, bins)]
    if not cells:
        both = f"{BEAM} and {BEST_OF_N}"
        msg = f"run {pair.run!r} has no N at which {both} are complete yet"
        raise MissingRunError(msg)
    lines = [
        [str(n), *(marked(cell.found) for cell in cells if cell.n == n)]
        for n in dict.fromkeys(cell.n for cell in cells)
    ]
    return [
        f"**The {pair.name} verifier.**",
        table(["N", *bins.named()], lines),
        where(cells),
        "Both in % (95 % intervals), to see what more search does in each bin:",
        _both(runs, pair, bins),
        falling(runs, pair, bins),
    ]


def where(cells: Sequence[Cell]) -> str:
    """What the cells of the bins say, as Snell's finding is put."""
    inside = [cell for cell in cells if cell.column != "all"]
    said = {
        name: [
            f"{cell.column} at N = {cell.n}"
            for cell in inside
            if verdict(cell.found) == name
        ]
        for name in ("above", "below")
    }
    easy = [cell for cell in inside if cell.column in {"bin 1", "bin 2"}]
    lost = [c for c in easy if verdict(c.found) == "below"]
    first = sentence(
        f"of {len(inside)} cells beam search is above best-of-N in "
        f"{len(said['above'])} ({listed(said['above'])}) and below it in "
        f"{len(said['below'])} ({listed(said['below'])})"
    )
    if lost:
        second = (
            f"As in the paper, it loses on easy questions: in {len(lost)} of the "
            f"{len(easy)} cells of bins 1 and 2."
        )
    else:
        second = (
            "Snell et al. found best-of-N ahead on bins 1 and 2; here no cell of them "
            "shows that."
        )
    return f"{first} {second}"


def _sizes(runs: Runs, pair: Pair) -> list[int]:
    """All N but 1: with one sample there is nothing to search."""
    return [n for n in runs.manifest(pair.run)["budgets"] if n > 1]


def _cells(runs: Runs, pair: Pair, n: int, bins: Bins) -> list[Cell]:
    try:
        beam, base = (find_arm(runs, pair.run, one, n) for one in (BEAM, BEST_OF_N))
    except MissingRunError:
        return []
    return [
        Cell(name, n, difference(beam.marks(ids), base.marks(ids)))
        for name, ids in bins.named().items()
    ]


def _both(runs: Runs, pair: Pair, bins: Bins) -> str:
    columns = bins.named()
    lines = []
    for strategy in (BEST_OF_N, BEAM):
        for arm in _arms(runs, pair, strategy):
            cells = [share(arm.marks(ids)) for ids in columns.values()]
            lines.append([f"`{strategy}`", str(arm.n), *cells])
    return table(["strategy", "N", *columns], lines)


def falling(runs: Runs, pair: Pair, bins: Bins) -> str:
    """In which bins more search makes fewer answers right: it over-optimizes there."""
    found = []
    for strategy in (BEST_OF_N, BEAM):
        arms = _arms(runs, pair, strategy)
        for name, ids in bins.named().items():
            gain = difference(arms[-1].marks(ids), arms[0].marks(ids))
            if name != "all" and verdict(gain) == "below":
                found.append(f"`{strategy}` in {name} ({points(gain)})")
    return sentence(
        f"from the smallest N to the largest accuracy falls for {listed(found)}"
    )


def _arms(runs: Runs, pair: Pair, strategy: str) -> list[Arm]:
    """A strategy at every N at which it is complete."""
    found = []
    for n in _sizes(runs, pair):
        with suppress(MissingRunError):
            found.append(find_arm(runs, pair.run, strategy, n))
    return found


class Judged(NamedTuple):
    """Chosen answers of one search on all questions."""

    run: str
    strategy: str
    n: int
    scores: list[float]
    """What the verifier gave them."""
    right: list[float]

    @property
    def excess(self) -> list[float]:
        """By how much the verifier overrates each."""
        return [s - r for s, r in zip(self.scores, self.right, strict=True)]


def judged(runs: Runs, run: str, strategy: str, n: int) -> Judged:
    """The chosen answers of a search, as the verifier and the checker see them.

    Raises:
        MissingRunError: If not every question was searched with it yet.
    """
    chosen = [
        best_by_score(
            first_finals(record, n) if record["samples"] else record["finals"]
        )
        for record in searches(runs, run, strategy, n)
    ]
    return Judged(
        run,
        strategy,
        n,
        [0.0 if final is None else last_score(final) for final in chosen],
        [float(final is not None and final["right"]) for final in chosen],
    )


def _optimized(runs: Runs, bins: Bins) -> list[str]:
    """Scores of chosen answers by N: over-optimization is a score that only rises."""
    found = []
    for run in _VERIFIERS:
        for strategy in (BEST_OF_N, BEAM):
            for n in (4, 16, 64):
                try:
                    found.append(judged(runs, run, strategy, n))
                except MissingRunError:
                    continue
    lines = [
        [
            _VERIFIERS[one.run],
            f"`{one.strategy}`",
            str(one.n),
            share(one.scores),
            share(one.right),
            share(one.excess),
        ]
        for one in found
    ]
    head = ["verifier", "strategy", "N", "its score, %", "right, %", "score - right"]
    notes = [
        note
        for run in _VERIFIERS
        for strategy in (BEST_OF_N, BEAM)
        for note in over_optimization(
            [one for one in found if (one.run, one.strategy) == (run, strategy)]
        )
    ]
    return [table(head, lines), f"n = {len(bins.chances)}.", bullets(notes)]


def over_optimization(found: Sequence[Judged]) -> list[str]:
    """Whether more search raises the score and not the accuracy.

    Args:
        found: One strategy with one verifier at several N, in ascending order.
    """
    if len(found) < 2:  # noqa: PLR2004 (from one N to another)
        return []
    first, last = found[0], found[-1]
    score = difference(last.scores, first.scores)
    gain = difference(last.right, first.right)
    if verdict(gain) == "below":
        what = "it over-optimizes"
    elif verdict(gain) == "above":
        what = "accuracy rises with the score"
    else:
        what = "no change of accuracy is shown"
    return [
        sentence(
            f"{_VERIFIERS[first.run]} verifier, `{first.strategy}`, from N = "
            f"{first.n} to {last.n}: score {points(score)} points, accuracy "
            f"{points(gain)}: {what}"
        )
    ]
