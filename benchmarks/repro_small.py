"""Claim 4: a small policy with search against the largest policy's greedy answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.repro_arms import BEAM, BEST_OF_N, Arm, find_arm
from benchmarks.repro_runs import MissingRunError, Runs
from benchmarks.repro_text import (
    Difference,
    bullets,
    difference,
    millions,
    points,
    sentence,
    share,
    table,
    times,
    verdict,
)
from langchain_tts.evaluation.exchange import training_flops
from langchain_tts.tinymath import WEIGHTS

_LARGE = "test-large"
_SMALL = ("test-small", "test-strong")
_WAYS = (
    ("greedy", 1),
    ("majority_vote", 64),
    (BEST_OF_N, 64),
    *((BEAM, n) for n in (4, 16, 64)),
    ("dvts?beam_width=4", 64),
)
_FOLDERS = {
    "tinymath": "policy",
    "tinymath-small": "policy-small",
    "tinymath-large": "policy-large",
}
_VERIFIER = "verifier"


class System(NamedTuple):
    """A policy with a strategy at N, on its own or with its verifier."""

    policy: str
    arm: Arm
    parameters: int
    prm_parameters: int
    """0 where the strategy asks no verifier."""
    training: float
    """FLOPs of the policy's training."""
    prm_training: float


def small_against_large(runs: Runs) -> str:
    """The table of systems, and who is ahead for how many FLOPs.

    Raises:
        MissingRunError: If the largest policy, or every smaller one, is missing.
    """
    large = _system(runs, _LARGE, find_arm(runs, _LARGE, "greedy", 1))
    systems = []
    for run in _SMALL:
        for strategy, n in _WAYS:
            try:
                systems.append(_system(runs, run, find_arm(runs, run, strategy, n)))
            except MissingRunError:
                continue
    if not systems:
        msg = f"none of the runs {', '.join(_SMALL)} is complete at any N yet"
        raise MissingRunError(msg)
    ids = sorted(large.arm.results)
    caption = (
        f"n = {len(ids)}. FLOPs in millions a question and in 10^12 of training; x: "
        "times the largest policy's, counting the policy only (as Liu et al. do) and "
        "with the verifier. Difference: accuracy minus the largest policy's, paired."
    )
    head = [
        *("policy", "parameters", "strategy", "N", "accuracy, %", "difference"),
        *("policy FLOPs", "x", "with verifier", "x"),
        *("training FLOPs", "x", "with verifier", "x"),
    ]
    drawn = table(head, [_line(one, large, ids) for one in [large, *systems]])
    policies = list(dict.fromkeys(one.policy for one in systems))
    notes = [overtaking([s for s in systems if s.policy == p], large) for p in policies]
    return "\n\n".join([caption, drawn, bullets(notes)])


def overtaking(systems: Sequence[System], large: System) -> str:
    """What beam search of one policy reaches, against the largest policy's greedy."""
    beams = [one for one in systems if one.arm.strategy == BEAM]
    if not beams:
        return ""
    most = beams[-1]
    found = _gap(most, large)
    both = most.parameters + most.prm_parameters
    said = [
        sentence(
            f"`{most.policy}` ({most.parameters:,} parameters, with its verifier "
            f"{both:,}) with `{BEAM}` at N = {most.arm.n} is {_against(found)} the "
            f"greedy answer of `{large.policy}` ({large.parameters:,}): "
            f"{points(found)} points"
        )
    ]
    ahead = [one for one in beams if verdict(_gap(one, large)) == "above"]
    if ahead:
        ids = sorted(large.arm.results)
        base = large.arm.policy_flops(ids)
        policy, prm = ahead[0].arm.policy_flops(ids), ahead[0].arm.prm_flops(ids)
        said.append(
            sentence(
                f"it is above from N = {ahead[0].arm.n}, for {times(policy / base)} "
                "the FLOPs a question without the verifier and "
                f"{times((policy + prm) / base)} with it"
            )
        )
    return " ".join(said)


def _against(found: Difference) -> str:
    return {"above": "above", "below": "below"}.get(verdict(found), "level with")


def _gap(one: System, large: System) -> Difference:
    ids = sorted(large.arm.results)
    return difference(one.arm.marks(ids), large.arm.marks(ids))


def _system(runs: Runs, run: str, arm: Arm) -> System:
    manifest = runs.manifest(run)
    judged = any(result.prm_flops for result in arm.results.values())
    prm = manifest["prm_parameters"] if judged else 0
    return System(
        policy=manifest["policy"],
        arm=arm,
        parameters=manifest["policy_parameters"],
        prm_parameters=prm,
        training=_training(_FOLDERS[manifest["policy"]], manifest["policy_parameters"]),
        prm_training=_training(_VERIFIER, prm),
    )


def _training(folder: str, parameters: int) -> float:
    path = WEIGHTS / folder / "training.json"
    tokens: int = json.loads(path.read_text(encoding="utf-8"))["tokens"]
    return training_flops(parameters, tokens)


def _line(one: System, large: System, ids: Sequence[str]) -> list[str]:
    policy, prm = one.arm.policy_flops(ids), one.arm.prm_flops(ids)
    base, trained = large.arm.policy_flops(ids), one.training + one.prm_training
    return [
        f"`{one.policy}`",
        f"{one.parameters:,}",
        f"`{one.arm.strategy}`",
        str(one.arm.n),
        share(one.arm.marks(ids)),
        "–" if one is large else points(_gap(one, large)),
        millions(policy),
        times(policy / base),
        millions(policy + prm),
        times((policy + prm) / base),
        f"{one.training / 1e12:.1f}",
        times(one.training / large.training),
        f"{trained / 1e12:.1f}",
        times(trained / large.training),
    ]
