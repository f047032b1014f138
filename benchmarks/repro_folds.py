"""The offline compute-optimal choice: never made on the questions it is reported on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.repro_arms import Arm, Result, arms_at
from benchmarks.repro_bins import Bins
from benchmarks.repro_runs import MissingRunError, Runs
from langchain_tts.evaluation import arms as candidates
from langchain_tts.evaluation.choosing import Picked, pick
from langchain_tts.evaluation.folds import halves
from langchain_tts.search.calibration import bin_of

FEWEST = 2
"""Arms that there is a choice between."""


@dataclass(frozen=True)
class Chosen:
    """What the two folds chose at N.

    Args:
        by_bin: Each question by the strategy chosen for its bin on the other half.
        fixed: Each question by the one strategy chosen for all on the other half.
        names: What each bin's halves chose, by its number.
    """

    by_bin: Arm
    fixed: Arm
    names: Mapping[int, list[str]]


def two_fold(
    runs: Runs, run: str, n: int, bins: Bins, only: Collection[str] | None = None
) -> Chosen:
    """Choose among the strategies of a run at N, as `langchain-tts calibrate` does.

    Args:
        runs: All runs.
        run: Its name.
        n: N.
        bins: Of its questions.
        only: Strategies to choose among; None: all but greedy.

    Raises:
        MissingRunError: If there is nothing to choose between.
    """
    ids = sorted(bins.chances)
    numbers = [bin_of(bins.chances[one], bins.edges) for one in ids]
    paid = {
        name: arm
        for name, arm in arms_at(runs, run, n).items()
        if name != "greedy" and (only is None or name in only)
    }
    records = [r for r in runs.run(run).records if r["strategy"] in paid]
    among = candidates.arms(records, n, ids)
    if len(among) < FEWEST:
        msg = f"run {run!r} has no two strategies that are complete at N = {n} yet"
        raise MissingRunError(msg)
    fold = halves(ids, numbers, seed=0)
    by_bin: dict[str, Result] = {}
    fixed: dict[str, Result] = {}
    names: dict[int, list[str]] = {number: [] for number in sorted(set(numbers))}
    for half in (0, 1):
        others = [place for place, of in enumerate(fold) if of != half]
        picked = pick(among, numbers, others)
        for number, arm in picked.by_bin.items():
            names[number].append(_name(among, picked, arm))
        for place in (place for place, of in enumerate(fold) if of == half):
            for into, arm in (
                (by_bin, picked.by_bin[numbers[place]]),
                (fixed, picked.fixed),
            ):
                chosen = among[arm]
                right = float(chosen.marks[picked.ways[arm]][place])
                result = paid[chosen.strategy].results[ids[place]]
                into[ids[place]] = result._replace(right=right)
    return Chosen(
        Arm("compute_optimal (two folds)", n, by_bin),
        Arm("one strategy (two folds)", n, fixed),
        {number: list(dict.fromkeys(found)) for number, found in names.items()},
    )


def _name(among: Sequence[candidates.Arm], picked: Picked, arm: int) -> str:
    score, vote = picked.ways[arm]
    way = vote if score is None else f"{score}-{vote}"
    return f"`{among[arm].strategy}` {way}"
