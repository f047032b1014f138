"""Runs of made-up searches, for tests of the page."""

import json
from pathlib import Path
from typing import Any

from langchain_tts.budget import Spent
from langchain_tts.evaluation.records import AnswerRecord, FinalRecord, SearchRecord
from langchain_tts.evaluation.store import MANIFEST, ROWS, VERSION, Manifest, Run
from langchain_tts.search.state import Score, Vote

WAYS: tuple[tuple[Score | None, Vote], ...] = (
    (None, "majority"),
    ("last", "max"),
    ("last", "vote"),
)


def manifest(**changes: Any) -> Manifest:
    """What a run is of."""
    whole = Manifest(
        version=VERSION,
        policy="small",
        prm="judge",
        policy_parameters=1_000,
        prm_parameters=3_000,
        dataset="tinymath/test",
        fingerprint="0123456789abcdef",
        questions=10,
        strategies=["best_of_n"],
        budgets=[1, 2, 4],
        seeds=[0],
        parameters={},
    )
    whole.update(changes)  # type: ignore[typeddict-item]
    return whole


def record(
    question: int,
    strategy: str,
    budget: int,
    right: dict[int, bool],
    samples: list[bool] | None = None,
    **changes: Any,
) -> SearchRecord:
    """One search.

    Args:
        question: Its number; questions 5 to 9 are of level 2.
        strategy: Its name.
        budget: N.
        right: By N whether it is right, in all ways of choosing alike.
        samples: Whether each independent sample is right.
        changes: Fields that are otherwise.
    """
    finals = [
        FinalRecord(
            sample=place,
            text="",
            answer="1" if mark else "2",
            right=mark,
            status="finished",
            step_scores=[0.9 if mark else 0.1],
            logprob=-1.0,
            tokens=10,
        )
        for place, mark in enumerate(samples or [])
    ]
    whole = SearchRecord(
        id=f"{question:012d}",
        question=f"question {question}",
        gold="1",
        level=1 + question // 5,
        strategy=strategy,
        budget=budget,
        seed=0,
        answers=[
            AnswerRecord(budget=n, score=score, vote=vote, answer="1", right=mark)
            for n, mark in right.items()
            for score, vote in WAYS
        ],
        finals=finals,
        samples=None if samples is None else len(samples),
        spent=Spent(
            samples=budget,
            generated_tokens=10 * budget,
            policy_flops=20_000.0 * budget,
            prm_flops=30_000.0 * budget,
            prm_calls=1,
        ),
        seconds=0.5,
        stop_reason="finished",
        degradations=[],
        error=None,
    )
    whole["route"] = {}
    whole.update(changes)  # type: ignore[typeddict-item]
    return whole


def small_run() -> Run:
    """Ten questions; question i has i right samples of 10, best-of-N and beam search.

    Best-of-N is right on 2, 4 and 6 questions at N = 1, 2 and 4, beam search (M = 2) on
    1, 6 and 8, beam search (M = 4) on 1, 5 and 9, a revision 1:4 on 5 at N = 4 and one
    4:1 on 7.
    """
    records = []
    for question in range(10):
        marks = [place < question for place in range(10)]
        best = {1: question < 2, 2: question < 4, 4: question < 6}
        records.append(record(question, "best_of_n", 4, best, marks))
        for label, counts in (
            ("beam_search?beam_width=2", {1: 1, 2: 6, 4: 8}),
            ("beam_search?beam_width=4", {1: 1, 2: 5, 4: 9}),
            ("revision?sequential_to_parallel=0.25", {1: 2, 2: 3, 4: 5}),
            ("revision?sequential_to_parallel=4.0", {1: 2, 2: 4, 4: 7}),
        ):
            records += [
                record(question, label, n, {n: question < count})
                for n, count in counts.items()
            ]
    greedy = {"prm_calls": 0, "prm_flops": 0.0, "generated_tokens": 10, "samples": 1}
    records += [
        record(q, "greedy", 1, {1: q < 3}, [q < 3], spent=Spent(**greedy))  # type: ignore[typeddict-item]
        for q in range(10)
    ]
    return Run(manifest(strategies=sorted({r["strategy"] for r in records})), records)


def large_run() -> Run:
    """A policy with ten times the parameters, greedy: right on 7 questions."""
    own = Spent(generated_tokens=10, policy_flops=2e5, samples=1)
    return Run(
        manifest(policy="large", policy_parameters=10_000, strategies=["greedy"]),
        [record(q, "greedy", 1, {1: q < 7}, [q < 7], spent=own) for q in range(10)],
    )


def save(run: Run, folder: Path) -> Path:
    """Write a run as `eval` does."""
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text(json.dumps(run.manifest), encoding="utf-8")
    lines = (json.dumps(record) + "\n" for record in run.records)
    (folder / ROWS).write_text("".join(lines), encoding="utf-8")
    return folder
