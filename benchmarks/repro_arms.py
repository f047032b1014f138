"""Arms: a strategy at N, with what it answered and what it cost on every question."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.repro_costs import flops_at
from benchmarks.repro_runs import MissingRunError, Runs
from langchain_tts.evaluation.records import (
    AnswerRecord,
    FinalRecord,
    SearchRecord,
)
from langchain_tts.evaluation.store import Manifest
from langchain_tts.search.state import Score, Vote

BEST_OF_N, BEAM = "best_of_n", "beam_search?beam_width=4"

Kind = tuple[Score | None, Vote]
"""How trajectories become an answer."""

BY_SCORE: Kind = ("last", "max")
"""The package's default."""
MAJORITY: Kind = (None, "majority")


class Result(NamedTuple):
    """One question, as a mean over the seeds."""

    right: float
    policy_flops: float
    prm_flops: float


@dataclass(frozen=True)
class Arm:
    """A strategy at N.

    Args:
        strategy: With its parameters.
        n: N.
        results: By the questions' ids.
    """

    strategy: str
    n: int
    results: Mapping[str, Result]

    def marks(self, ids: Iterable[str]) -> list[float]:
        """1 for a right answer and 0 for a wrong one, in the order of the ids."""
        return [self.results[one].right for one in ids]

    def policy_flops(self, ids: Sequence[str]) -> float:
        """Mean FLOPs of the policy on some questions."""
        return math.fsum(self.results[one].policy_flops for one in ids) / len(ids)

    def prm_flops(self, ids: Sequence[str]) -> float:
        """Mean FLOPs of the verifier on some questions."""
        return math.fsum(self.results[one].prm_flops for one in ids) / len(ids)

    def flops(self, ids: Sequence[str]) -> float:
        """Mean FLOPs of policy and verifier on some questions."""
        return self.policy_flops(ids) + self.prm_flops(ids)


def find_arm(
    runs: Runs, run: str, strategy: str, n: int, kind: Kind | None = None
) -> Arm:
    """A strategy at N in a run.

    Args:
        runs: All runs.
        run: Its name.
        strategy: With its parameters.
        n: N.
        kind: How it answers; None: by the last score where it has scores, else by
            majority.

    Raises:
        MissingRunError: If not every question was searched with it yet, or not
            answered in that way.
    """
    records = searches(runs, run, strategy, n)
    manifest = runs.manifest(run)
    chosen = kind or (BY_SCORE if _is_scored(records) else MAJORITY)
    if not any(_kind(a) == (n, *chosen) for r in records for a in r["answers"]):
        msg = f"run {run!r} has no answers of {strategy} at N = {n} by {chosen}"
        raise MissingRunError(msg)
    found: dict[str, list[Result]] = defaultdict(list)
    for record in records:
        found[record["id"]].append(_result(record, n, chosen, manifest))
    return Arm(strategy, n, {one: _mean(results) for one, results in found.items()})


def arms_at(runs: Runs, run: str, n: int) -> dict[str, Arm]:
    """All strategies of a run that are complete at N, by their names."""
    found = {}
    for strategy in runs.manifest(run)["strategies"]:
        try:
            found[strategy] = find_arm(runs, run, strategy, n)
        except MissingRunError:
            continue
    return found


def searches(runs: Runs, run: str, strategy: str, n: int) -> list[SearchRecord]:
    """The searches that answer at N, one for each question and seed.

    Raises:
        MissingRunError: If not every question was searched yet.
    """
    found = runs.run(run)
    of = [record for record in found.records if record["strategy"] == strategy]
    sizes = sorted({record["budget"] for record in of})
    expected = found.manifest["questions"] * len(found.manifest["seeds"])
    for size in (s for s in sizes if s >= n):
        records = [record for record in of if record["budget"] == size]
        listed = any(
            answer["budget"] == n for record in records for answer in record["answers"]
        )
        if listed and len(records) == expected:
            return records
    msg = (
        f"run {run!r} has not searched all questions with {strategy} at N = {n} yet; "
        "go on with it by the command that made it"
    )
    raise MissingRunError(msg)


def best_by_score(finals: Iterable[FinalRecord]) -> FinalRecord | None:
    """What `score="last"` and `vote="max"` choose: the first of the best ones."""
    voters = [f for f in finals if f["status"] == "finished" and f["answer"]]
    return max(voters, key=last_score, default=None)


def last_score(final: FinalRecord) -> float:
    """The verifier's score of a whole answer; 0 where there is none."""
    return final["step_scores"][-1] if final["step_scores"] else 0.0


def _is_scored(records: Iterable[SearchRecord]) -> bool:
    return any(answer["score"] for record in records for answer in record["answers"])


def _result(record: SearchRecord, n: int, kind: Kind, manifest: Manifest) -> Result:
    right = any(a["right"] for a in record["answers"] if _kind(a) == (n, *kind))
    sizes = manifest["policy_parameters"], manifest["prm_parameters"]
    return Result(float(right), *flops_at(record, n, *sizes))


def _kind(answer: AnswerRecord) -> tuple[int, Score | None, Vote]:
    return answer["budget"], answer["score"], answer["vote"]


def _mean(results: Sequence[Result]) -> Result:
    columns = zip(*results, strict=True)
    return Result(*(math.fsum(column) / len(results) for column in columns))
