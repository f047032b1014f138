"""The offline compute-optimal choice: never made on the questions it is reported on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.repro_arms import Arm, arms_at
from benchmarks.repro_bins import Bins
from benchmarks.repro_runs import MissingRunError, Runs
from langchain_tts.evaluation import arms as candidates
from langchain_tts.evaluation.crossfit import Assigned, crossfit
from langchain_tts.evaluation.folds import halves

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
    ids, numbers = list(bins.numbers), list(bins.numbers.values())
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
    found = crossfit(among, numbers, halves(ids, numbers, seed=0))

    def arm(name: str, answered: Sequence[Assigned]) -> Arm:
        results = {}
        for place, (one, (by, way)) in enumerate(zip(ids, answered, strict=True)):
            result = paid[among[by].strategy].results[one]
            right = float(among[by].marks[way][place])
            results[one] = result._replace(right=right)
        return Arm(name, n, results)

    names = {
        number: [_name(among, one) for one in found.of_bin(number)]
        for number in sorted(set(numbers))
    }
    return Chosen(
        arm("compute_optimal (two folds)", found.routed),
        arm("one strategy (two folds)", found.fixed),
        {number: list(dict.fromkeys(both)) for number, both in names.items()},
    )


def _name(among: Sequence[candidates.Arm], one: Assigned) -> str:
    score, vote = one.way
    way = vote if score is None else f"{score}-{vote}"
    return f"`{among[one.arm].strategy}` {way}"
