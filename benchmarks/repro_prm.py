"""Claim 5: how much depends on the verifier, and how the chosen strategies differ."""

from __future__ import annotations

from benchmarks.repro_arms import BEST_OF_N, arms_at
from benchmarks.repro_bins import Bins, oracle_bins
from benchmarks.repro_folds import two_fold
from benchmarks.repro_runs import PAIRS, MissingRunError, Runs
from benchmarks.repro_text import (
    difference,
    listed,
    points,
    sentence,
    share,
    table,
    verdict,
)

_QUALITIES = tuple(pair.name for pair in reversed(PAIRS))
_SIZES = (4, 16, 64)


def verifiers(runs: Runs) -> str:
    """Accuracy with each verifier, what is chosen with each, and what both say.

    Raises:
        MissingRunError: If there are not two verifiers to compare.
    """
    there = [q for q in _QUALITIES if runs.has(f"test-{q}")]
    if len(there) < 2:  # noqa: PLR2004 (a comparison)
        runs_there = listed([f"test-{q}" for q in there])
        msg = f"of the runs with each verifier there is {runs_there}; make two"
        raise MissingRunError(msg)
    bins = oracle_bins(runs)
    ids = sorted(bins.chances)
    caption = (
        f"Accuracy in % with 95 % intervals, n = {len(ids)}; in parentheses behind it "
        f"the difference from `{BEST_OF_N}` with the same verifier, paired."
    )
    return "\n\n".join(
        [
            caption,
            _accuracy(runs, there, ids),
            *_chosen(runs, there, bins),
        ]
    )


def _accuracy(runs: Runs, there: list[str], ids: list[str]) -> str:
    lines, said = [], []
    for n in _SIZES:
        found = {q: arms_at(runs, f"test-{q}", n) for q in there}
        shared = [
            name
            for name in runs.manifest(f"test-{there[0]}")["strategies"]
            if any(name in arms for arms in found.values()) and name != "greedy"
        ]
        for name in shared:
            cells = []
            for arms in found.values():
                if name not in arms:
                    cells += ["–", "–"]
                    continue
                marks = arms[name].marks(ids)
                base = arms[BEST_OF_N].marks(ids) if BEST_OF_N in arms else None
                gap = "–" if base is None else points(difference(marks, base))
                cells += [share(marks), "–" if name == BEST_OF_N else gap]
            lines.append([f"`{name}`", str(n), *cells])
        for q, arms in found.items():
            if BEST_OF_N in arms and "majority_vote" in arms:
                gap_found = difference(
                    arms[BEST_OF_N].marks(ids), arms["majority_vote"].marks(ids)
                )
                said.append(
                    f"{q} at N = {n} {verdict(gap_found)} ({points(gap_found)})"
                )
    head = ["strategy", "N"]
    for q in there:
        head += [f"{q} verifier", "- best-of-N"]
    against = sentence(f"best-of-N against the majority vote: {'; '.join(said)}")
    return f"{table(head, lines)}\n\n{against}"


def _chosen(runs: Runs, there: list[str], bins: Bins) -> list[str]:
    """What the two folds choose with each verifier, on the test questions."""
    names: dict[tuple[int, str], dict[int, list[str]]] = {}
    shared = set.intersection(
        *(set(runs.manifest(f"test-{q}")["strategies"]) for q in there)
    )
    for n in _SIZES:
        for q in there:
            try:
                chosen = two_fold(runs, f"test-{q}", n, bins, shared)
            except MissingRunError:
                continue
            names[n, q] = dict(chosen.names)
    head = ["N", "verifier", *(name for name in bins.named() if name != "all")]
    lines = [
        [str(n), q, *(listed(found) for found in by_bin.values())]
        for (n, q), by_bin in names.items()
    ]
    return [
        "What the two halves of each oracle bin chose, among what all verifiers ran:",
        table(head, lines),
        _differing(names, there),
    ]


def _differing(
    names: dict[tuple[int, str], dict[int, list[str]]], there: list[str]
) -> str:
    """In how many cells two verifiers lead to different choices."""
    said = []
    for place, one in enumerate(there):
        for other in there[place + 1 :]:
            pairs = [
                (names[n, one][number], names[n, other][number])
                for n in _SIZES
                if (n, one) in names and (n, other) in names
                for number in names[n, one]
            ]
            differ = sum(not set(a) & set(b) for a, b in pairs)
            if pairs:
                said.append(
                    f"{one} and {other}: {differ} of {len(pairs)} cells have no choice "
                    "in common"
                )
    return sentence("; ".join(said)) if said else ""
