"""Best-of-N at every N of one run, and how much less compute another search needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.repro_arms import (
    BEST_OF_N,
    Arm,
    best_by_score,
    last_score,
    searches,
)
from benchmarks.repro_costs import question_tokens
from benchmarks.repro_runs import MissingRunError, Pair, Runs
from langchain_tts.evaluation.exchange import inference_flops
from langchain_tts.evaluation.records import SearchRecord

_RESAMPLES = 1000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Best-of-N read off one run at every N.

    Args:
        ids: Of the questions.
        marks: 1 for right; a row for each question, a column for each N from 1.
        policy_flops: Mean a question, for each N.
        prm_flops: Likewise.
    """

    ids: list[str]
    marks: Floats
    policy_flops: Floats
    prm_flops: Floats


@dataclass(frozen=True)
class Factor:
    """How many times the compute best-of-N needs for the same accuracy.

    Args:
        value: The factor; where best-of-N never got there the least that it can be.
        low: Of the 95 % interval.
        high: Of it; infinite where best-of-N does not get there.
        reached: Whether best-of-N got there.
    """

    value: float
    low: float
    high: float
    reached: bool

    def text(self) -> str:
        """For a table, e.g. `3.9x (2.8 to 5.1)`."""
        sign = "" if self.reached else "> "
        high = f"{self.high:.1f}" if math.isfinite(self.high) else "not reached"
        return f"{sign}{self.value:.1f}x ({self.low:.1f} to {high})"


def best_of_n_curve(runs: Runs, pair: Pair) -> Curve:
    """Best-of-N of a pair of models on the test questions, as far as it was run.

    Raises:
        MissingRunError: If there is no run of it.
    """
    manifest = runs.manifest(pair.run)
    sizes = manifest["policy_parameters"], manifest["prm_parameters"]
    if pair.run == "test-strong" and runs.has("test-more"):
        try:
            return curve(searches(runs, "test-more", BEST_OF_N, 256), *sizes)
        except MissingRunError:
            pass
    return curve(searches(runs, pair.run, BEST_OF_N, 64), *sizes)


def curve(records: Sequence[SearchRecord], policy: int, prm: int) -> Curve:
    """Best-of-N at every N from searches of whole answers.

    Args:
        records: One for each question.
        policy: Parameters of the policy.
        prm: Parameters of the verifier.
    """
    ordered = sorted(records, key=lambda record: record["id"])
    most = max(record["budget"] for record in ordered)
    marks = np.array([_marks(record, most) for record in ordered])
    tokens = np.array([_tokens(record, most) for record in ordered]).mean(axis=0)
    ids = [record["id"] for record in ordered]
    flops = inference_flops(policy, 1) * tokens, inference_flops(prm, 1) * tokens
    return Curve(ids, marks, *flops)


def samples_factor(base: Curve, arm: Arm) -> Factor:
    """How many times N best-of-N needs to be right as often as an arm."""
    return _factor(base, arm, np.arange(1.0, base.marks.shape[1] + 1), float(arm.n))


def flops_factor(base: Curve, arm: Arm) -> Factor:
    """How many times the FLOPs of policy and verifier best-of-N needs for it."""
    costs = base.policy_flops + base.prm_flops
    return _factor(base, arm, costs, arm.flops(base.ids))


def _factor(base: Curve, arm: Arm, costs: Floats, spent: float) -> Factor:
    ours = np.array(arm.marks(base.ids))
    whole = _first(base.marks.mean(axis=0)[None], np.array([ours.mean()]), costs)[0]
    n = len(base.ids)
    rng = np.random.default_rng(0)
    draws = rng.multinomial(n, np.full(n, 1 / n), size=_RESAMPLES) / n
    drawn = _first(draws @ base.marks, draws @ ours, costs) / spent
    # Of infinities no percentile can be interpolated: the nearest ones are taken.
    low, high = np.percentile(drawn, (2.5, 97.5), method="closest_observation")
    reached = bool(np.isfinite(whole))
    most = whole if reached else costs[-1]
    # Where it was not reached in a draw, what was run is the least that it can be.
    least = min(float(low), float(costs[-1]) / spent)
    return Factor(float(most) / spent, least, float(high), reached)


def _first(curves: Floats, targets: Floats, costs: Floats) -> Floats:
    """For each curve (row) the cost at which it first is at its target, or infinity."""
    enough = curves >= targets[:, None] - 1e-12
    at = costs[enough.argmax(axis=1)]
    found: Floats = np.where(enough.any(axis=1), at, np.inf)
    return found


def _marks(record: SearchRecord, most: int) -> list[float]:
    """Whether the best of the first n samples is right, for each n."""
    by_sample = {final["sample"]: final for final in record["finals"]}
    best = None
    found = []
    for sample in range(most):
        final = best_by_score([by_sample[sample]] if sample in by_sample else [])
        if final is not None and (best is None or last_score(final) > last_score(best)):
            best = final
        found.append(float(best is not None and best["right"]))
    return found


def _tokens(record: SearchRecord, most: int) -> Floats:
    """Tokens that both models compute for the first n samples, for each n."""
    lengths = np.zeros(most)
    for final in record["finals"]:
        lengths[final["sample"]] = final["tokens"]
    found: Floats = question_tokens(record["question"]) + lengths.cumsum()
    return found
