"""Runs written by hand: each question's finals are given, their answers follow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from langchain_tts.budget import Spent
from langchain_tts.evaluation.records import (
    AnswerRecord,
    FinalRecord,
    SearchRecord,
)
from langchain_tts.evaluation.store import VERSION, Manifest
from langchain_tts.search.state import Score, Vote

TOKENS = 10
"""Of every final candidate."""


class Drawn(NamedTuple):
    """A sample: whether it is right, and what the verifier thinks of it."""

    right: bool
    score: float = 0.5
    chain: int | None = None


def final(sample: int, drawn: Drawn) -> FinalRecord:
    answer = "1" if drawn.right else f"-{sample}"
    made = FinalRecord(
        sample=sample,
        text=f"1+0={answer}\n\nAnswer: \\boxed{{{answer}}}",
        answer=answer,
        right=drawn.right,
        status="finished",
        step_scores=[0.1, drawn.score],
        logprob=-1.0,
        tokens=TOKENS,
    )
    if drawn.chain is not None:
        made["chain"] = drawn.chain
    return made


def search(
    one: str,
    strategy: str,
    drawn: Sequence[Drawn],
    *,
    sizes: Sequence[int] | None = None,
    level: int = 1,
) -> SearchRecord:
    """A search that ended with some candidates.

    Args:
        one: The question's id; it is its text too.
        strategy: Its name with parameters.
        drawn: What it ended with.
        sizes: Budgets that are read off it; None: it is a search of steps.
        level: Of the question.
    """
    n = len(drawn)
    judged = strategy not in {"greedy", "majority_vote"}
    finals = [final(place, d) for place, d in enumerate(drawn)]
    kinds: list[tuple[Score | None, Vote]] = [(None, "majority")]
    if judged:
        kinds.append(("last", "max"))
    answers = [
        AnswerRecord(
            budget=size,
            score=score,
            vote=vote,
            answer=chosen["answer"],
            right=chosen["right"],
        )
        for size in sizes or [n]
        for score, vote in kinds
        for chosen in [_chosen(finals[:size], by_score=vote == "max")]
    ]
    spent = Spent(samples=n, generated_tokens=TOKENS * n, prompt_tokens=3)
    if judged:
        spent["prm_calls"] = 1
    return SearchRecord(
        id=one,
        question=one,
        gold="1",
        level=level,
        strategy=strategy,
        budget=n,
        seed=0,
        answers=answers,
        finals=finals,
        samples=None if sizes is None else n,
        spent=spent,
        seconds=1.0,
        stop_reason="finished",
        degradations=[],
        error=None,
    )


def _chosen(finals: Sequence[FinalRecord], *, by_score: bool) -> FinalRecord:
    """The best scored one, or the most frequent one: the first among equals."""
    answers = [one["answer"] for one in finals]
    if by_score:
        return max(finals, key=lambda one: one["step_scores"][-1])
    return max(finals, key=lambda one: answers.count(one["answer"]))


def write_run(
    folder: Path,
    name: str,
    records: Sequence[SearchRecord],
    *,
    policy: str = "tinymath",
    policy_parameters: int = 100,
    prm_parameters: int = 50,
) -> None:
    """Write a run as `langchain-tts eval` would have left it."""
    manifest = Manifest(
        version=VERSION,
        policy=policy,
        prm="tinymath",
        policy_parameters=policy_parameters,
        prm_parameters=prm_parameters,
        dataset="tinymath/test",
        fingerprint="0",
        questions=len({record["id"] for record in records}),
        strategies=list(dict.fromkeys(record["strategy"] for record in records)),
        budgets=sorted({a["budget"] for r in records for a in r["answers"]}),
        seeds=[0],
        parameters={},
    )
    (folder / name).mkdir(parents=True)
    (folder / name / "run.json").write_text(json.dumps(manifest))
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / name / "rows.jsonl").write_text(lines)
