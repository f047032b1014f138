"""Claim 6: what happens along a chain of revisions, and which ratio is best."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.repro_arms import BEST_OF_N, Arm, find_arm, searches
from benchmarks.repro_bins import oracle_bins
from benchmarks.repro_runs import MissingRunError, Runs
from benchmarks.repro_text import (
    bullets,
    difference,
    points,
    sentence,
    share,
    table,
)
from langchain_tts.evaluation.records import SearchRecord
from langchain_tts.search.revise import chain_lengths

_RUN = "test-reviser"
_RATIOS = (0.0625, 0.25, 1.0, 4.0, 16.0)
_SIZES = (4, 16)
_CHAINS = (
    ("the reviser", _RUN, 16.0, 16),
    ("the default policy, only asked to revise", "test-strong", 4.0, 64),
)
_SHOWN = (1, 2, 3, 4, 5, 8, 12, 16)
"""Places in a chain that have a line in the table."""
_RESAMPLES = 2000

Floats = NDArray[np.float64]


class Turns(NamedTuple):
    """How often an answer becomes another one at the next revision, with intervals."""

    lost: str
    """Of right answers, those that the next one makes wrong."""
    won: str
    """Of wrong answers, those that the next one makes right."""


def revisions(runs: Runs) -> str:
    """Both tables, and what they say.

    Raises:
        MissingRunError: If there is no search with chains.
    """
    parts = []
    for name, run, ratio, n in _CHAINS:
        try:
            records = searches(runs, run, _strategy(ratio), n)
        except MissingRunError:
            continue
        parts += _along(name, n, records, ratio)
    if not parts:
        msg = f"neither {_RUN!r} nor 'test-strong' has chains of revisions yet"
        raise MissingRunError(msg)
    try:
        parts += _ratios(runs)
    except MissingRunError as error:
        parts.append(f"Ratios by difficulty are not measured: {error}.")
    return "\n\n".join(parts)


def chains(record: SearchRecord, lengths: int) -> list[list[bool]]:
    """Whether each answer is right, chain by chain and in the order they were written.

    Args:
        record: A revision search.
        lengths: How many chains it has; where a record does not name the chain of an
            answer it follows from its place, as each round writes one for every chain.
    """
    found: dict[int, list[bool]] = defaultdict(list)
    for final in sorted(record["finals"], key=lambda one: one["sample"]):
        found[final.get("chain", final["sample"] % lengths)].append(final["right"])
    return [found[chain] for chain in sorted(found)]


def turns(found: Iterable[Sequence[Sequence[bool]]]) -> Turns:
    """How often answers turn from right to wrong and back, over all questions.

    Args:
        found: For each question its chains.
    """
    counts = [[steps.count(kind) for kind in _KINDS] for steps in map(_steps, found)]
    stayed, lost, won, never = np.array(counts, np.float64).T
    return Turns(_ratio(lost, stayed + lost), _ratio(won, won + never))


_KINDS = ((True, True), (True, False), (False, True), (False, False))


def _steps(question: Iterable[Sequence[bool]]) -> list[tuple[bool, bool]]:
    """Each answer with its revision."""
    return [step for chain in question for step in pairwise(chain)]


def _ratio(part: Floats, whole: Floats) -> str:
    """A share of all events with its interval over questions, which stay together."""
    n = len(part)
    draws = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), _RESAMPLES)
    sizes = draws @ whole
    drawn = 100 * (draws @ part)[sizes > 0] / sizes[sizes > 0]
    if not len(drawn):
        return "–"
    low, high = np.percentile(drawn, (2.5, 97.5))
    return f"{100 * part.sum() / whole.sum():.1f} ({low:.1f} to {high:.1f})"


def _along(
    name: str, n: int, records: Sequence[SearchRecord], ratio: float
) -> list[str]:
    count = len(chain_lengths(n, ratio))
    found = [chains(record, count) for record in records]
    most = max(len(chain) for question in found for chain in question)
    places = [
        [
            math.fsum(reached) / len(reached)
            for question in found
            if (reached := [chain[at] for chain in question if len(chain) > at])
        ]
        for at in range(most)
    ]
    shown = [at for at in _SHOWN if at <= most]
    lines = [[str(at), share(places[at - 1])] for at in shown]
    turned = turns(found)
    said = (
        f"{name}: of right answers the next revision makes {turned.lost} % wrong "
        f"(paper: about 38 %), of wrong ones {turned.won} % right"
    )
    if len(places[-1]) == len(places[0]):
        change = points(difference(places[-1], places[0]))
        said += f"; from the first answer to number {most} pass@1 changes by {change}"
    caption = (
        f"pass@1 along the chain, {name}: {count} chain(s) of {most} answers a "
        f"question, n = {len(records)}."
    )
    return [caption, table(["answer", "right, %"], lines), sentence(said)]


def _ratios(runs: Runs) -> list[str]:
    # The default policy's: the reviser's own samples would flatter best-of-N.
    bins = oracle_bins(runs)
    columns = bins.named()
    lines, said = [], []
    for n in _SIZES:
        arms = _arms(runs, n)
        lines += [
            [str(n), name, *(share(arm.marks(ids)) for ids in columns.values())]
            for name, arm in arms.items()
        ]
        said += [_best(n, column, ids, arms) for column, ids in columns.items()]
    sizes = ", ".join(f"{len(ids)} in {name}" for name, ids in columns.items())
    caption = (
        "Accuracy in % of the reviser by the ratio of a chain's length to the number "
        f"of chains; oracle bins of the default policy from {bins.source}; n = {sizes}."
    )
    return [caption, table(["N", "ratio", *columns], lines), bullets(said)]


def _arms(runs: Runs, n: int) -> dict[str, Arm]:
    found = {"best-of-N": find_arm(runs, _RUN, BEST_OF_N, n)}
    for ratio in _RATIOS:
        try:
            found[f"{ratio:g}"] = find_arm(runs, _RUN, _strategy(ratio), n)
        except MissingRunError:
            continue
    return found


def _best(n: int, column: str, ids: Sequence[str], arms: Mapping[str, Arm]) -> str:
    """The best ratio on some questions, against independent samples."""
    best = max(arms, key=lambda name: sum(arms[name].marks(ids)))
    if best == "best-of-N":
        return sentence(f"N = {n}, {column}: independent samples are the most accurate")
    gap = difference(arms[best].marks(ids), arms["best-of-N"].marks(ids))
    return sentence(
        f"N = {n}, {column}: ratio {best} is the most accurate, by {points(gap)} "
        "points against independent samples"
    )


def _strategy(ratio: float) -> str:
    return f"revision?sequential_to_parallel={ratio}"
