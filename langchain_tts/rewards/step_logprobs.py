"""Log-probabilities of steps under one model, each computed once."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass
from itertools import count, islice
from typing import TYPE_CHECKING

from langchain_tts.engines.extend import Extension

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tts.engines.loading import LoadedModel

_REMEMBERED = 65_536
_ROOT = 0


@dataclass(slots=True, eq=False)
class Trajectory:
    """A question and steps, of which the first ones may be known already."""

    question: list[int]
    steps: list[list[int]]
    known: list[float]
    """Log-probabilities of the leading steps that were computed earlier."""
    extension: Extension | None
    """Computes the others; None if all are known."""

    def logprobs(self) -> list[float]:
        """Log-probability of each step, once the extension is done."""
        if self.extension is None:
            return self.known
        values = iter(self.extension.result.tolist())
        new = self.steps[len(self.known) :]
        return self.known + [math.fsum(islice(values, len(step))) for step in new]


class StepLogprobs:
    """Remembers the log-probability of every step that a model has read.

    A running sum over a trajectory needs those of all its steps, but only the newest
    step's tokens should be computed.

    Args:
        model: The model that reads.
    """

    def __init__(self, model: LoadedModel) -> None:
        """Remember nothing yet."""
        self.model = model
        self._entries: OrderedDict[tuple[int, tuple[int, ...]], tuple[int, float]] = (
            OrderedDict()
        )
        self._numbers = count(_ROOT + 1)
        self._lock = threading.Lock()

    def plan(self, question: list[int], steps: list[list[int]]) -> Trajectory:
        """Find out what of a trajectory must be computed."""
        with self._lock:
            known = self._known(question, steps)
        if len(known) == len(steps):
            return Trajectory(question, steps, known, None)
        ids = question + [token for step in steps for token in step]
        start = len(question) + sum(map(len, steps[: len(known)]))
        return Trajectory(question, steps, known, Extension.logprobs(ids, start))

    def remember(self, trajectory: Trajectory) -> list[float]:
        """Keep what was computed; returns the log-probability of each step."""
        logprobs = trajectory.logprobs()
        with self._lock:
            node = self._add(_ROOT, trajectory.question, 0.0)
            for step, logprob in zip(trajectory.steps, logprobs, strict=True):
                node = self._add(node, step, logprob)
            while len(self._entries) > _REMEMBERED:
                self._entries.popitem(last=False)
        return logprobs

    def _known(
        self, question: Sequence[int], steps: Sequence[Sequence[int]]
    ) -> list[float]:
        node = _ROOT
        known = []
        for ids in (question, *steps):
            entry = self._entries.get((node, tuple(ids)))
            if entry is None:
                break
            node, logprob = entry
            known.append(logprob)
        return known[1:]

    def _add(self, parent: int, ids: Sequence[int], logprob: float) -> int:
        """Enter a step under its prefix; returns the number of the new prefix."""
        key = (parent, tuple(ids))
        if key not in self._entries:
            self._entries[key] = (next(self._numbers), logprob)
        self._entries.move_to_end(key)
        return self._entries[key][0]
