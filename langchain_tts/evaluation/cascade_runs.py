"""From a run of each policy to a file of thresholds."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_tts.evaluation.cascade import (
    Given,
    Target,
    check,
    choose,
    ended,
    figures,
    given,
    held_out,
)
from langchain_tts.evaluation.records import SearchRecord
from langchain_tts.evaluation.store import Run, RunError
from langchain_tts.search.cascade import VERSION, Thresholds
from langchain_tts.search.select import share
from langchain_tts.search.state import Score, Vote

_SAMPLED = ("best_of_n", "majority_vote")
"""Strategies whose first n samples are what a policy of a cascade gives."""


def thresholds(
    runs: Sequence[Run], budget: int, target: Target, score: Score, vote: Vote
) -> Thresholds:
    """Choose the thresholds of a cascade.

    Args:
        runs: One of each policy, the smallest first, on the same questions.
        budget: N of the cascade, which its policies share.
        target: What the thresholds are to reach.
        score: How step scores become a trajectory score.
        vote: How trajectories become an answer.

    Returns:
        What a file of thresholds holds.

    Raises:
        RunError: If the runs cannot be compared, or lack searches.
        TargetError: If no thresholds reach the target.
    """
    _check(runs)
    first = runs[0].manifest
    scored = first["prm"] is not None
    sizes = share(budget, len(runs))
    found = [_searches(run, size) for run, size in zip(runs, sizes, strict=True)]
    questions: dict[str, list[Given]] = {
        one: [
            given(records[one], size, score, vote, scored=scored)
            for records, size in zip(found, sizes, strict=True)
        ]
        for one in found[0]
        if all(one in records for records in found)
    }
    if len(questions) < len(found[0]) or len(questions) < 2:  # noqa: PLR2004
        msg = (
            f"only {len(questions)} of {len(found[0])} questions were searched in all "
            "runs; finish them first"
        )
        raise RunError(msg)
    answers = list(questions.values())
    cut = choose(answers, target)
    check(answers, cut, target)
    return Thresholds(
        version=VERSION,
        policies=[run.manifest["policy"] for run in runs],
        prm=first["prm"],
        dataset=first["dataset"],
        fingerprint=first["fingerprint"],
        questions=len(questions),
        samples=sizes,
        score=score,
        vote=vote,
        trust=cut.trust,
        defer_below=list(cut.defer_below),
        target={target.kind: target.value},
        chosen=figures([ended(one, cut) for one in answers], len(runs)),
        held_out=figures(held_out(questions, target), len(runs)),
    )


def _check(runs: Sequence[Run]) -> None:
    """Make sure that runs are of the same questions.

    Raises:
        RunError: If they are not, or if there is one only.
    """
    if len(runs) < 2:  # noqa: PLR2004
        msg = "a cascade needs two policies at least; give one run of each"
        raise RunError(msg)
    for name in ("prm", "dataset", "fingerprint"):
        known = {run.manifest[name] for run in runs}
        if len(known) > 1:
            msg = (
                f"the runs differ in {name}: {', '.join(sorted(map(str, known)))}; run "
                "each policy on the same questions, with the same verifier"
            )
            raise RunError(msg)


def _searches(run: Run, size: int) -> dict[str, SearchRecord]:
    """The searches of a run that took enough samples, by question; of its first seed.

    Raises:
        RunError: If there are none.
    """
    seed = run.manifest["seeds"][0]
    for strategy in _SAMPLED:
        found = {
            record["id"]: record
            for record in run.records
            if record["strategy"] == strategy
            and record["seed"] == seed
            and record["budget"] >= size
        }
        if found:
            return found
    name = run.manifest["policy"]
    msg = (
        f"the run of {name!r} has no {' or '.join(_SAMPLED)} of {size} samples; make "
        f"it with: langchain-tts eval --policy '{name}' --strategies best_of_n "
        f"--budgets {size} ..."
    )
    raise RunError(msg)
