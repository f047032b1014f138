"""Calibration: from the searches of a run to the choices of a compute-optimal search.

For each budget N the questions are cut into bins by the difficulty that is predicted
from their first samples, and every bin into two halves. What one half chooses is
measured on the other. The choices that a search uses are made once more on all
questions.

A compute-optimal search pays for its prediction: its first samples are candidates of
its N, and the chosen strategy has what is left. Here a strategy is measured with all of
N, which is close where the first samples are few. Where a prediction is good for
nothing, none is made: the bins gain nothing over one strategy for all questions, and no
score of the first samples settles an answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

from langchain_tts._version import __version__
from langchain_tts.evaluation.arms import arms
from langchain_tts.evaluation.choosing import Picked, chosen, pick
from langchain_tts.evaluation.crossfit import (
    SAMPLERS,
    HeldOut,
    Study,
    baseline,
    held_out,
)
from langchain_tts.evaluation.difficulty import (
    prediction_of,
    predictions,
    quantiles,
)
from langchain_tts.evaluation.estimates import bootstrap, paired_difference
from langchain_tts.evaluation.folds import halves
from langchain_tts.evaluation.records import SearchRecord
from langchain_tts.evaluation.settling import stop_score, trusted
from langchain_tts.evaluation.store import Run
from langchain_tts.search.calibration import (
    VERSION,
    Calibration,
    Cell,
    ChosenMeasured,
    Fold,
    Gain,
    Measured,
    Prediction,
    Predictor,
    Summary,
)

FIRST_SAMPLES = (1, 2, 4, 8)

_WORTH = 0.02
"""Rank correlation that twice as many first samples must add to be worth taking."""

_SHARE = 4
"""At most one in so many samples is taken before a strategy is chosen."""


class RunTooSmallError(ValueError):
    """A run that cannot be calibrated on."""


def calibrate(run: Run) -> Calibration:
    """Calibrate on a run that holds all searches of its plan.

    Raises:
        RunTooSmallError: If it has too few questions, or none of `SAMPLERS`.
    """
    manifest = run.manifest
    seed = manifest["seeds"][0]
    records = [record for record in run.records if record["seed"] == seed]
    first = _first_samples(records)
    budgets = manifest["budgets"]
    # As many samples again are left to see how difficult a question is.
    seen = [n for n in FIRST_SAMPLES if n == 1 or 2 * n <= max(budgets)]
    measured = predictions(first, seen)
    predictor, samples = best_prediction(measured, budgets)
    sizes = sorted(set(samples.values()))
    stop = stop_score(first, sizes)
    studies = {
        n: _study(records, first, predictor, (n, samples[str(n)]), seed)
        for n in budgets
    }
    found = {n: held_out(study) for n, study in studies.items()}
    for n in budgets:
        if stop is None and sum(found[n].routed) <= sum(found[n].fixed):
            samples[str(n)] = 0
            studies[n] = studies[n]._replace(edges=[], bins=[1] * len(first))
            found[n] = held_out(studies[n])
    final = {
        n: pick(study.arms, study.bins, range(len(first)))
        for n, study in studies.items()
    }
    return Calibration(
        version=VERSION,
        package=__version__,
        policy=manifest["policy"],
        policy_parameters=manifest["policy_parameters"],
        prm=manifest["prm"],
        prm_parameters=manifest["prm_parameters"],
        dataset=manifest["dataset"],
        fingerprint=manifest["fingerprint"],
        questions=len(first),
        parameters=manifest["parameters"],
        strategies=manifest["strategies"],
        seed=seed,
        predictor=predictor,
        samples=samples,
        edges={str(n): list(study.edges) for n, study in studies.items()},
        stop_score=stop,
        stop=trusted(first, sizes, sorted({*seen, *budgets})),
        summary={str(n): _summary(studies[n], found[n], final[n]) for n in budgets},
        cells={str(n): _cells(studies[n], found[n], final[n]) for n in budgets},
        ways={
            str(n): [
                chosen(study.arms, final[n], arm) for arm in range(len(study.arms))
            ]
            for n, study in studies.items()
        },
        predictions=measured,
    )


def best_prediction(
    measured: Sequence[Prediction], budgets: Sequence[int]
) -> tuple[Predictor, dict[str, int]]:
    """The predictor that ranks questions best, and the first samples it is worth.

    At each budget at most a quarter of N is taken first, and twice as many only if the
    rank correlation with the oracle gains enough by it. Strategies are not looked at.
    """
    known: dict[Predictor, dict[int, float]] = defaultdict(dict)
    for one in measured:
        known[one["predictor"]][one["samples"]] = one["rank_correlation"]

    def few(predictor: Predictor, n: int) -> int:
        quality = known[predictor]
        taken = min(quality)
        for size in sorted(quality):
            if size <= n // _SHARE and quality[size] >= quality[taken] + _WORTH:
                taken = size
        return taken

    def mean_quality(predictor: Predictor) -> float:
        return fmean(known[predictor][few(predictor, n)] for n in budgets)

    best = max(known, key=mean_quality)
    return best, {str(n): few(best, n) for n in budgets}


def _first_samples(records: Sequence[SearchRecord]) -> list[SearchRecord]:
    """One search of independent samples for each question."""
    for strategy in SAMPLERS:
        found = [r for r in records if r["strategy"] == strategy]
        if any(record["error"] is None for record in found):
            break
    else:
        msg = f"a calibration needs searches by one of {', '.join(SAMPLERS)}"
        raise RunTooSmallError(msg)
    # Two halves of one bin need a question each.
    if len(found) < 2:  # noqa: PLR2004
        msg = f"a calibration needs at least 2 questions, but there are {len(found)}"
        raise RunTooSmallError(msg)
    return found


def _study(
    records: Sequence[SearchRecord],
    first: Sequence[SearchRecord],
    predictor: Predictor,
    size: tuple[int, int],
    seed: int,
) -> Study:
    n, samples = size
    chances = [prediction_of(record, predictor, samples) for record in first]
    edges, bins = quantiles(chances)
    ids = [record["id"] for record in first]
    return Study(arms(records, n, ids), edges, bins, halves(ids, bins, seed))


def _cells(study: Study, found: HeldOut, final: Picked) -> list[Cell]:
    return [_cell(bin_, study, found, final) for bin_ in sorted(set(study.bins))]


def _cell(bin_: int, study: Study, found: HeldOut, final: Picked) -> Cell:
    inside = [q for q, b in enumerate(study.bins) if b == bin_]
    folds = []
    for fold, picked in enumerate(found.picked):
        half = [found.routed[q] for q in inside if study.folds[q] == fold]
        if half:
            folds.append(
                Fold(
                    choice=chosen(study.arms, picked, picked.by_bin[bin_]),
                    n=len(half),
                    accuracy=fmean(half),
                )
            )
    return Cell(
        bin=bin_,
        choice=chosen(study.arms, final, final.by_bin[bin_]),
        **_measured([found.routed[q] for q in inside]),
        folds=folds,
        arms={
            arm.strategy: fmean(marks[q] for q in inside)
            for arm, marks in zip(study.arms, found.arms, strict=True)
        },
    )


def _summary(study: Study, found: HeldOut, final: Picked) -> Summary:
    def of(arm: int, marks: Sequence[bool]) -> ChosenMeasured:
        return ChosenMeasured(choice=chosen(study.arms, final, arm), **_measured(marks))

    return Summary(
        routed=_measured(found.routed),
        fixed=of(final.fixed, found.fixed),
        baseline=of(baseline(study.arms), found.baseline),
        gain_over_fixed=_gain(found.routed, found.fixed),
        gain_over_baseline=_gain(found.routed, found.baseline),
    )


def _measured(marks: Sequence[bool]) -> Measured:
    found = bootstrap(marks)
    return Measured(
        n=found["n"],
        accuracy=found["mean"],
        interval=(found["low"], found["high"]),
    )


def _gain(left: Sequence[bool], right: Sequence[bool]) -> Gain:
    found = paired_difference(left, right)
    return Gain(difference=found.difference, interval=(found.low, found.high))
