"""Made-up records of searches, for tests of what is read off them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_tts.evaluation.records import AnswerRecord, FinalRecord, SearchRecord
from langchain_tts.evaluation.store import VERSION, Manifest, Run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_tts.evaluation.arms import ScoreVote


def final(sample: int, score: float | None, *, right: bool, answer: str) -> FinalRecord:
    """A complete sample; one without an answer is written as ''."""
    return FinalRecord(
        sample=sample,
        text=answer,
        answer=answer or None,
        right=right,
        status="finished",
        step_scores=[] if score is None else [score],
        logprob=-1.0,
        tokens=1,
    )


def sampled(scores: Sequence[float], right: Sequence[bool]) -> list[FinalRecord]:
    """Samples that say 1 where they are right, else 2."""
    return [
        final(place, score, right=mark, answer="1" if mark else "2")
        for place, (score, mark) in enumerate(zip(scores, right, strict=True))
    ]


def record(
    question: str,
    strategy: str,
    marks: Mapping[tuple[int, ScoreVote], bool],
    finals: Sequence[FinalRecord] = (),
    *,
    budget: int = 4,
    error: str | None = None,
) -> SearchRecord:
    """A search whose answers are right as `marks` says."""
    return SearchRecord(
        id=question,
        question=question,
        gold="1",
        level=None,
        strategy=strategy,
        budget=budget,
        seed=0,
        answers=[
            AnswerRecord(
                budget=n,
                score=score,
                vote=vote,
                answer="1" if mark else "2",
                right=mark,
            )
            for (n, (score, vote)), mark in marks.items()
        ],
        finals=list(finals),
        samples=len(finals) or None,
        spent={},
        seconds=0.0,
        stop_reason="finished",
        degradations=[],
        error=error,
    )


def run(records: Sequence[SearchRecord], budgets: Sequence[int] = (4,)) -> Run:
    """A finished run of these searches."""
    manifest = Manifest(
        version=VERSION,
        policy="a",
        prm="b",
        policy_parameters=1,
        prm_parameters=2,
        dataset="made up",
        fingerprint="0",
        questions=len({one["id"] for one in records}),
        strategies=list(dict.fromkeys(one["strategy"] for one in records)),
        budgets=list(budgets),
        seeds=[0],
        parameters={},
    )
    return Run(manifest, list(records))
