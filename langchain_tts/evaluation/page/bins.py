"""Groups of questions by how hard they are."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from statistics import fmean
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from langchain_tts.evaluation.difficulty import prediction_of, quantiles
from langchain_tts.evaluation.page.study import Samples, Setting
from langchain_tts.search.calibration import Predictor
from langchain_tts.search.routing import Level, level

_FIRST = 4
"""Samples that a difficulty is predicted from."""


@dataclass(frozen=True)
class Bins:
    """Groups of questions.

    Args:
        key: What they are called in file names.
        what: What they are by, for people.
        names: Easiest first.
        of: The place of each question's group in `names`.
    """

    key: str
    what: str
    names: list[str]
    of: NDArray[np.int64]

    def masks(self) -> list[tuple[str, NDArray[np.bool_]]]:
        """The groups that have questions, and which those are."""
        found = [(name, self.of == place) for place, name in enumerate(self.names)]
        return [(name, mask) for name, mask in found if mask.any()]


def groupings(setting: Setting) -> list[Bins]:
    """All ways in which the questions of a setting can be grouped by difficulty."""
    found = []
    if setting.samples is not None:
        chance = setting.samples.pass_at_1
        found += [quantile_bins(chance), absolute_levels(chance)]
    if setting.levels is not None and len(np.unique(setting.levels)) > 1:
        known, of = np.unique(setting.levels, return_inverse=True)
        names = [f"level {level}" for level in known]
        found.append(Bins("own", "the data set's own levels", names, of))
    return found


def quantile_bins(chance: NDArray[np.float64]) -> Bins:
    """Snell's five bins of about equal size, by a chance of success."""
    numbers = quantiles(chance.tolist()).bins
    names = [f"bin {number}" for number in range(1, max(numbers) + 1)]
    of = np.array(numbers) - 1
    return Bins("quantiles", "five quantile bins by pass@1", names, of)


def predicted_bins(samples: Samples) -> Bins | None:
    """Five bins by what the first samples predict, without labels; None if too few."""
    if samples.count.min() <= _FIRST:
        return None
    scored = any(f["step_scores"] for one in samples.records for f in one["finals"])
    predictor: Predictor = "both" if scored else "vote_share"
    chances: dict[str, list[float]] = defaultdict(list)
    for record in sorted(samples.records, key=lambda one: one["id"]):
        chances[record["id"]].append(prediction_of(record, predictor, _FIRST))
    found = quantile_bins(np.array([fmean(of) for of in chances.values()]))
    what = f"five quantile bins by what the first {_FIRST} samples predict"
    return replace(found, key="predicted", what=what)


def absolute_levels(chance: NDArray[np.float64]) -> Bins:
    """Liu's three levels, by a chance of success."""
    levels = get_args(Level)
    of = np.array([levels.index(level(one)) for one in chance.tolist()])
    names = [f"{name} questions" for name in levels]
    what = "levels by pass@1: easy from 50 %, hard below 10 %"
    return Bins("levels", what, names, of)
