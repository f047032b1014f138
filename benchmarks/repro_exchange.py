"""Claim 7: training a larger model, or searching with a smaller one, at equal FLOPs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.repro_arms import BEAM, Arm, arms_at, find_arm
from benchmarks.repro_bins import Bins, oracle_bins
from benchmarks.repro_runs import MissingRunError, Runs
from benchmarks.repro_text import (
    bullets,
    difference,
    listed,
    marked,
    sentence,
    table,
    verdict,
)
from langchain_tts.evaluation.exchange import exchange_factor

RATIOS = (0.16, 0.79, 22.0)
"""R of the paper: tokens of inference over tokens of training."""

_SIZES = (4, 16, 64)
"""Who can afford no search answers greedily; one searched sample is no better."""


class Pair(NamedTuple):
    """A small policy with search, and a large one that answers greedily."""

    small: str
    """Its run."""
    large: str


_PAIRS = (
    Pair("test-strong", "test-large"),
    Pair("test-small", "test-strong"),
    Pair("test-small", "test-large"),
)


class Match(NamedTuple):
    """What the small policy may run for the larger one's FLOPs."""

    r: float
    verifier: bool
    """Whether the verifier's training and reading are paid for too."""
    factor: float
    """What may be spent over the policy's one greedy answer."""
    arm: Arm
    largest: bool
    """Whether no larger N was run, so that more could have been afforded."""


def exchange(runs: Runs) -> str:
    """A table for each pair of policies, and who wins where.

    Raises:
        MissingRunError: If no pair is complete.
    """
    parts = []
    for pair in _PAIRS:
        try:
            parts += _pair(runs, pair)
        except MissingRunError:
            continue
    if not parts:
        pairs = listed([f"{pair.small} with {pair.large}" for pair in _PAIRS])
        msg = f"none of these pairs of runs is complete yet: {pairs}"
        raise MissingRunError(msg)
    return "\n\n".join(parts)


def allowance(m: float, r: float, verifier: float) -> float:
    """What the small system may spend on an answer, in greedy answers of its policy.

    Args:
        m: M.
        r: R.
        verifier: Parameters of the verifier over the policy's; 0: it is not counted.
    """
    # The factor counts answers that the verifier reads: 1 + v times the policy's FLOPs.
    return exchange_factor(m, r, verifier=verifier) * (1 + verifier)


def affordable(arms: Sequence[Arm], limit: float, ids: Sequence[str]) -> Arm | None:
    """The largest N that costs at most so many FLOPs, of policy and verifier.

    Args:
        arms: A strategy at all N.
        limit: FLOPs a question.
        ids: Of the questions.
    """
    within = [
        arm for arm in arms if arm.policy_flops(ids) + arm.prm_flops(ids) <= limit
    ]
    return max(within, key=lambda arm: arm.n, default=None)


def _pair(runs: Runs, pair: Pair) -> list[str]:
    small, large = runs.manifest(pair.small), runs.manifest(pair.large)
    one = find_arm(runs, pair.small, "greedy", 1)
    base = find_arm(runs, pair.large, "greedy", 1)
    bins = oracle_bins(runs, pair.small)
    m = large["policy_parameters"] / small["policy_parameters"]
    v = small["prm_parameters"] / small["policy_parameters"]
    found = [
        _match(runs, pair, one, (m, r, v if counted else 0.0))
        for counted in (False, True)
        for r in RATIOS
    ]
    columns = bins.named()
    lines = [
        [
            f"{match.r:g}",
            "yes" if match.verifier else "no",
            f"{match.factor:.1f}",
            _named(match),
            *(
                marked(difference(match.arm.marks(ids), base.marks(ids)))
                for ids in columns.values()
            ),
        ]
        for match in found
    ]
    sizes = ", ".join(f"{len(ids)} in {name}" for name, ids in columns.items())
    caption = (
        f"**`{small['policy']}` with `{BEAM}` against `{large['policy']}` greedy, "
        f"M = {m:.1f}.** Difference in percentage points, paired, 95 % intervals; bold "
        f"where 0 is outside; n = {sizes}. Oracle bins of the small policy from "
        f"{bins.source}. *May spend*: in greedy answers of the small policy."
    )
    head = ["R", "verifier paid for", "may spend", "what that is", *columns]
    return [caption, table(head, lines), _winners(found, base, bins)]


def _match(
    runs: Runs, pair: Pair, one: Arm, setting: tuple[float, float, float]
) -> Match:
    m, r, v = setting
    ids = sorted(one.results)
    arms = [a for n in _SIZES if (a := arms_at(runs, pair.small, n).get(BEAM))]
    # Whoever counts the policy only counts it on both sides.
    counted = arms if v else [_free(arm) for arm in arms]
    factor = allowance(m, r, v)
    found = affordable(counted, factor * one.policy_flops(ids), ids)
    if found is None and not arms:
        msg = f"run {pair.small!r} has not searched all questions with {BEAM} yet"
        raise MissingRunError(msg)
    largest = found is not None and found.n == max(arm.n for arm in arms)
    return Match(r, bool(v), factor, found or one, largest)


def _named(match: Match) -> str:
    name = match.arm.strategy.partition("?")[0]
    more = " (no larger one was run)" if match.largest else ""
    return f"{name}, N = {match.arm.n}{more}"


def _free(arm: Arm) -> Arm:
    """The same arm with a verifier that costs nothing."""
    results = {k: one._replace(prm_flops=0.0) for k, one in arm.results.items()}
    return Arm(arm.strategy, arm.n, results)


def _winners(found: Sequence[Match], base: Arm, bins: Bins) -> str:
    said = []
    for match in found:
        gaps = {
            name: verdict(difference(match.arm.marks(ids), base.marks(ids)))
            for name, ids in bins.named().items()
            if name != "all"
        }
        search = [name for name, result in gaps.items() if result == "above"]
        size = [name for name, result in gaps.items() if result == "below"]
        paid = "with" if match.verifier else "without"
        said.append(
            sentence(
                f"R = {match.r:g} {paid} the verifier's FLOPs: search wins on "
                f"{listed(search)}, the larger model on {listed(size)}"
            )
        )
    return bullets(said)
