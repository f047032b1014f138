"""Bins of difficulty, from the policy's own samples with labels or without."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from benchmarks.repro_arms import BEST_OF_N, searches
from benchmarks.repro_runs import MissingRunError, Runs
from langchain_tts.evaluation.difficulty import (
    Quantiles,
    pass_at_1,
    prediction_of,
    quantiles,
)
from langchain_tts.evaluation.records import SearchRecord

ORACLE_SAMPLES = 64


@dataclass(frozen=True)
class Bins:
    """Questions by difficulty.

    Args:
        chances: The chance of success by which each question was placed, by its id.
        source: What the chances were read off, in words.
    """

    chances: Mapping[str, float]
    source: str

    @cached_property
    def _quantiles(self) -> Quantiles:
        return quantiles([self.chances[one] for one in sorted(self.chances)])

    @property
    def edges(self) -> list[float]:
        """Chances of success between the bins, in descending order."""
        return self._quantiles.edges

    @property
    def numbers(self) -> dict[str, int]:
        """The bin of each question, 1 for the easiest; in the order of the ids."""
        return dict(zip(sorted(self.chances), self._quantiles.bins, strict=True))

    @property
    def groups(self) -> dict[int, list[str]]:
        """The ids of each bin's questions, the easiest bin first."""
        found: dict[int, list[str]] = defaultdict(list)
        for one, number in self.numbers.items():
            found[number].append(one)
        return {number: found[number] for number in sorted(found)}

    def named(self) -> dict[str, list[str]]:
        """All questions, then those of each bin, by what a table's column is called."""
        bins = {f"bin {number}": ids for number, ids in self.groups.items()}
        return {"all": sorted(self.chances), **bins}


def oracle_bins(runs: Runs, run: str = "test-strong", n: int = ORACLE_SAMPLES) -> Bins:
    """Bins by pass@1 with labels, as Snell's oracle bins.

    Args:
        runs: All runs.
        run: The default policy's bins come from samples that no other figure uses,
            where they are there; another policy's from its own best-of-N run.
        n: Samples that there are in that run.

    Raises:
        MissingRunError: If there are no samples to tell difficulty from.
    """
    if run == "test-strong" and runs.has("test-oracle"):
        try:
            records = searches(runs, "test-oracle", "majority_vote", n)
        except MissingRunError:
            pass
        else:
            return _bins(records, f"{n} samples of their own (`test-oracle`)")
    records = searches(runs, run, BEST_OF_N, n)
    # Whoever draws these samples is right in the bins that they make.
    source = (
        f"the {n} samples of `{run}`'s best-of-N (which is therefore flattered in easy "
        "bins and wronged in hard ones)"
    )
    return _bins(records, source)


def predicted_bins(runs: Runs, run: str, n: int = ORACLE_SAMPLES) -> Bins:
    """Bins by the verifier's mean score of samples, without labels.

    Raises:
        MissingRunError: If there are no scored samples.
    """
    records = searches(runs, run, BEST_OF_N, n)
    chances = {one["id"]: prediction_of(one, "score", n) for one in records}
    return Bins(chances, f"the verifier's mean score of {n} samples")


def _bins(records: Iterable[SearchRecord], source: str) -> Bins:
    chances = {record["id"]: pass_at_1(record) for record in records}
    return Bins(chances, source)
