"""The runs that the reproduction reads: what each is of, its command, its records."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from langchain_tts.evaluation.store import Manifest, Run, RunError, read_run

_FEW = ("greedy", "best_of_n", "beam_search?beam_width=4")
_MANY = (
    "greedy",
    "majority_vote",
    "best_of_n",
    "beam_search?beam_width=2",
    "beam_search?beam_width=4",
    "dvts?beam_width=4",
    "lookahead?lookahead=1",
    "particle_filter",
)
_RATIOS = (0.0625, 0.25, 1.0, 4.0, 16.0)


class MissingRunError(ValueError):
    """A run, or a part of it, that is not there."""


@dataclass(frozen=True)
class RunPlan:
    """One run.

    Args:
        name: Of its folder.
        strategies: With their parameters.
        budgets: Values of N.
        policy: Its name.
        prm: Its name.
        split: Of tinymath.
        seed: Of the sweep.
    """

    name: str
    strategies: tuple[str, ...]
    budgets: tuple[int, ...]
    policy: str = "tinymath"
    prm: str = "tinymath"
    split: str = "test"
    seed: int = 0

    def arguments(self, folder: Path | str) -> list[str]:
        """Of `langchain-tts`: makes the run, or goes on with it."""
        return [
            *("eval", "--dataset", "tinymath", "--split", self.split),
            *("--limit", "500", "--policy", self.policy, "--prm", self.prm),
            *("--strategies", ",".join(self.strategies)),
            *("--budgets", ",".join(map(str, self.budgets))),
            *("--seeds", str(self.seed), "--out", f"{folder}/{self.name}"),
        ]

    def command(self, folder: Path | str = "runs") -> str:
        """What to type."""
        return shlex.join(["langchain-tts", *self.arguments(folder)])


_ARMS = (
    "best_of_n",
    "beam_search?beam_width=4",
    "beam_search?beam_width=8",
    "dvts?beam_width=4",
    "particle_filter",
)


def _plans() -> list[RunPlan]:
    sizes = (1, 4, 16, 64)
    dvts = "dvts?beam_width=4"
    revisions = [f"revision?sequential_to_parallel={ratio}" for ratio in _RATIOS]
    reviser = ("greedy", "best_of_n", *revisions)
    return [
        RunPlan("test-strong", _MANY, sizes),
        RunPlan("test-oracle", ("majority_vote",), (64,), seed=1),
        RunPlan("test-weak", (*_FEW, dvts), sizes, prm="tinymath-weak"),
        RunPlan("test-small", _FEW, sizes, policy="tinymath-small"),
        RunPlan("test-large", ("greedy",), (1,), policy="tinymath-large"),
        RunPlan("test-reviser", reviser, (4, 16), policy="tinymath-reviser"),
        RunPlan("test-optimal", ("compute_optimal",), (4, 16, 64)),
        RunPlan("test-more", ("best_of_n",), (256,)),
        # About what test-optimal costs, and no less.
        RunPlan("test-equal", (*_ARMS, "beam_search?beam_width=2"), (4, 13, 43)),
        RunPlan("test-lookahead", ("lookahead?lookahead=1",), (6, 20, 71)),
        RunPlan(
            "test-medium", ("majority_vote", *_ARMS), (4, 16, 64), prm="tinymath-medium"
        ),
        RunPlan(
            "test-optimal-medium",
            ("compute_optimal",),
            (4, 16, 64),
            prm="tinymath-medium",
        ),
        RunPlan(
            "test-optimal-weak",
            ("compute_optimal",),
            (4, 16, 64),
            prm="tinymath-weak",
        ),
    ]


PLANS = {plan.name: plan for plan in _plans()}
"""All runs, in the order in which they are made."""


@dataclass(frozen=True)
class Pair:
    """The default policy with one verifier, and the runs that were made with it.

    Args:
        name: Of the verifier's quality.
        prm: The verifier's name.
        run: Of the fixed strategies.
        optimal: Of the compute-optimal search.
        more: Other runs of fixed strategies.
    """

    name: str
    prm: str
    run: str
    optimal: str
    more: tuple[str, ...] = ()


PAIRS = (
    Pair(
        "strong",
        "tinymath",
        "test-strong",
        "test-optimal",
        more=("test-equal", "test-lookahead"),
    ),
    Pair("medium", "tinymath-medium", "test-medium", "test-optimal-medium"),
    Pair("weak", "tinymath-weak", "test-weak", "test-optimal-weak"),
)


@dataclass(frozen=True)
class Runs:
    """The runs in a folder.

    Args:
        folder: Holds one folder for each run, by its name.
    """

    folder: Path
    _read: dict[str, Run] = field(default_factory=dict, repr=False)

    def run(self, name: str) -> Run:
        """One run, finished or not.

        Raises:
            MissingRunError: If it is not there.
        """
        if name not in self._read:
            folder = self.folder / name
            try:
                self._read[name] = read_run(folder)
            except RunError as error:
                reason = str(error) if folder.exists() else f"run {name!r} is missing"
                msg = f"{reason}; make it: {PLANS[name].command()}"
                raise MissingRunError(msg) from error
        return self._read[name]

    def manifest(self, name: str) -> Manifest:
        """What a run is of."""
        return self.run(name).manifest

    def has(self, name: str) -> bool:
        """Whether a run is there, finished or not."""
        try:
            return bool(self.run(name).records)
        except MissingRunError:
            return False
