"""Strategies x budgets x seeds over a data set, with standard errors.

Strategies that sample whole answers run once, at the largest budget: the first n
samples of a run at N are exactly the run at n, so every smaller budget is read off the
same samples (paired, hence also less noisy). A step search at another N is another
search and runs anew, and so does one that may stop early, for its costs at each N.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from langchain_tts.evaluation.datasets import Question
from langchain_tts.evaluation.local import Engine, LocalEngine, question_seed
from langchain_tts.evaluation.plans import Job, Plan, plans
from langchain_tts.evaluation.records import (
    Key,
    SearchRecord,
    job_key,
    key_of,
    question_id,
)
from langchain_tts.evaluation.rows import Digest, digest
from langchain_tts.evaluation.store import VERSION, Manifest, RunWriter, fingerprint
from langchain_tts.evaluation.summary import Failure, Report, SweepError, summarize
from langchain_tts.strategies.context import SearchContext

__all__ = ["Failure", "Report", "SweepError", "question_seed", "sweep"]


def sweep(
    questions: Sequence[Question],
    *,
    strategies: Sequence[str],
    budgets: Sequence[int],
    context: SearchContext,
    seeds: Sequence[int] = (0,),
    dataset: str = "",
    folder: Path | None = None,
    engine: Engine | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> Report:
    """Measure strategies at budgets on questions.

    Args:
        questions: What is asked, with the right answers. One that is there twice is
            asked once.
        strategies: Strategies, with parameters of their own or without.
        budgets: Values of N.
        context: Models and parameters; its budget's `samples` is replaced.
        seeds: Each question is searched once with each; a question's searches draw from
            the seed and from its text.
        dataset: What the questions are called in the run's manifest.
        folder: Where the run is kept; one that is there already is gone on with.
        engine: What runs the searches; None: this process.
        advance: Called with the searches done and the searches in all: before the
            first search, and after each.

    Returns:
        One row for each strategy, budget, score and vote.

    Raises:
        SweepError: If there is nothing to measure, or if every search failed.
        RunError: If the folder holds another run or a damaged one, if another process
            is writing there, or if nothing can be written.
        ValueError: If there is no such strategy or model.
    """
    if not (questions and strategies and budgets and seeds):
        msg = "a sweep needs at least one question, strategy, budget and seed"
        raise SweepError(msg)
    asked = _Asked(
        plans(strategies, budgets, context),
        list({question_id(question): question for question in questions}.values()),
        list(dict.fromkeys(seeds)),
    )
    engine = engine or LocalEngine()
    # What cannot be written must cost nothing, not even the loading of a model.
    with nullcontext() if folder is None else RunWriter(folder) as writer:
        manifest = Manifest(
            version=VERSION,
            **engine.models(context),
            dataset=dataset,
            fingerprint=fingerprint(asked.questions),
            questions=len(asked.questions),
            strategies=list(dict.fromkeys(plan.label for plan in asked.plans)),
            budgets=sorted(set(budgets)),
            seeds=list(asked.seeds),
            parameters=_shared(context),
        )
        known = () if writer is None else writer.begin(manifest)
        found: dict[Key, Digest] = {
            key_of(record): digest(record)
            for record in known
            if record["error"] is None
        }

        def done(record: SearchRecord) -> None:
            if writer is not None:
                writer.write(record)
            found[key_of(record)] = digest(record)
            if advance is not None:
                advance(len(found), asked.total)

        if advance is not None:
            advance(len(found), asked.total)
        before = frozenset(found)
        engine.run(
            (job for job in asked.jobs() if job_key(job) not in before), context, done
        )
        return summarize(
            manifest, (found[job_key(job)] for job in asked.jobs()), folder
        )


@dataclass(frozen=True)
class _Asked:
    """All searches of a sweep."""

    plans: Sequence[Plan]
    questions: Sequence[Question]
    seeds: Sequence[int]

    @property
    def total(self) -> int:
        return len(self.plans) * len(self.questions) * len(self.seeds)

    def jobs(self) -> Iterator[Job]:
        """One by one: there may be too many to hold."""
        for plan in self.plans:
            for seed in self.seeds:
                for question in self.questions:
                    yield Job(plan, question, seed)


def _shared(context: SearchContext) -> dict[str, Any]:
    """Fields of a context that are not the default, but for its models and N."""
    own = {"policy", "prm", "budget", "turn", "api_key", "lockstep"}
    changed = {
        field.name: getattr(context, field.name)
        for field in fields(SearchContext)
        if field.name not in own and getattr(context, field.name) != field.default
    }
    limits = {
        name: limit
        for name, limit in context.budget.to_dict().items()
        if name != "samples" and limit is not None
    }
    return {**changed, **({"budget": limits} if limits else {})}
