"""Measure the embedded models: `python -m langchain_tts.tinymath.gates`.

Everything is measured on the test split, with the strategies that users run.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from langchain_tts.answers import extract_answer, grade
from langchain_tts.evaluation.datasets import Question, load_dataset
from langchain_tts.evaluation.estimates import Accuracy, accuracy
from langchain_tts.evaluation.rows import Row
from langchain_tts.evaluation.sweep import sweep
from langchain_tts.policies import resolve_policy
from langchain_tts.policies.base import STEP_DELIMITER
from langchain_tts.rewards import resolve_prm
from langchain_tts.rewards.base import ScoreRequest
from langchain_tts.search.state import Message
from langchain_tts.strategies.context import SearchContext
from langchain_tts.tinymath.discrimination import within_problem_auc
from langchain_tts.tinymath.generator import load_split
from langchain_tts.tinymath.reviser_training import conversation
from langchain_tts.tinymath.rollouts import roll_out, whole_answers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tts.rewards.base import RewardModel
    from langchain_tts.tinymath.problem import Problem
    from langchain_tts.tinymath.rollouts import Rollout

VERIFIERS = ("tinymath-implicit", "tinymath-medium", "tinymath-tag", "tinymath-weak")
_POLICY, _SMALL, _LARGE = "tinymath", "tinymath-small", "tinymath-large"
_REVISER = "tinymath-reviser"
_HARD = ("4", "5")
_AUC_SAMPLES = 16


@dataclass(frozen=True)
class Gate:
    """One figure, its standard error, and the bound that it must reach."""

    name: str
    claim: str
    value: float
    stderr: float
    bound: float

    @property
    def passed(self) -> bool:
        """Whether the bound is reached."""
        return self.value >= self.bound


class Measured(TypedDict):
    """Everything that the gates are computed from."""

    rows: dict[str, list[Row]]
    """By policy."""
    auc: dict[str, tuple[float, float]]
    """Within-problem AUC and its standard error, by verifier."""
    parameters: dict[str, int]
    revision: list[Accuracy]
    """Of the reviser's first answer and of each revision of it."""


def measure(questions: Sequence[Question], problems: Sequence[Problem]) -> Measured:
    """Run every search that the gates need."""
    models = {name: resolve_policy(name) for name in (_POLICY, _SMALL, _LARGE)}
    verifier = resolve_prm("tinymath")
    parameters = {name: model.num_parameters for name, model in models.items()}
    parameters["verifier"] = verifier.num_parameters if verifier else 0
    with Progress(console=Console(stderr=True)) as bar:
        rows = {
            _POLICY: _rows(
                bar,
                questions,
                _POLICY,
                {
                    ("greedy",): (1,),
                    ("majority_vote", "best_of_n"): (4, 16, 64),
                    ("beam_search", "dvts"): (16, 64),
                },
            ),
            _SMALL: _rows(bar, questions, _SMALL, {("greedy",): (1,)}),
            _LARGE: _rows(bar, questions, _LARGE, {("greedy",): (1,)}),
        }
    rollouts = list(roll_out(resolve_policy(_POLICY), problems, _AUC_SAMPLES))
    auc = {name: discrimination(resolve_prm(name), rollouts) for name in VERIFIERS}
    return Measured(
        rows=rows, auc=auc, parameters=parameters, revision=revise(problems)
    )


def _rows(
    bar: Progress,
    questions: Sequence[Question],
    policy: str,
    plan: dict[tuple[str, ...], tuple[int, ...]],
) -> list[Row]:
    rows: list[Row] = []
    for strategies, budgets in plan.items():
        task = bar.add_task(f"{policy}: {', '.join(strategies)}", total=None)
        report = sweep(
            questions,
            strategies=strategies,
            budgets=budgets,
            context=SearchContext(policy=policy, prm="tinymath"),
            advance=lambda done, total, task=task: bar.update(  # type: ignore[misc]
                task, completed=done, total=total
            ),
        )
        rows += report["rows"]
    return rows


def discrimination(
    prm: RewardModel | None, rolled: Sequence[tuple[Problem, list[Rollout]]]
) -> tuple[float, float]:
    """Within-problem AUC of a verifier on the default policy's samples."""
    if prm is None:
        msg = "a verifier is needed"
        raise ValueError(msg)
    scored = []
    for problem, rollouts in rolled:
        requests = [
            ScoreRequest(
                messages=[Message(role="user", content=problem.question)],
                steps=rollout.steps,
                token_ids=rollout.token_ids,
                logprobs=rollout.logprobs,
                new=len(rollout.steps),
            )
            for rollout in rollouts
        ]
        answers = prm.submit(requests).result()
        scored.append(
            [
                (answer["scores"], rollout.first_wrong)
                for answer, rollout in zip(answers, rollouts, strict=True)
            ]
        )
    return within_problem_auc(scored)


def revise(problems: Sequence[Problem], turns: int = 5) -> list[Accuracy]:
    """Accuracy of the reviser's answers, each with the latest four in its context."""
    policy = resolve_policy(_REVISER)
    earlier: list[list[str]] = [[] for _ in problems]
    marks: list[Accuracy] = []
    for turn in range(turns):
        requests = [
            whole_answers(conversation(problem.question, answers), [turn])
            for problem, answers in zip(problems, earlier, strict=True)
        ]
        right = []
        for problem, answers, generation in zip(
            problems, earlier, policy.submit(requests).result(), strict=True
        ):
            steps = [step["text"] for step in generation["samples"][0]["steps"]]
            answers.append(STEP_DELIMITER.join(steps))
            right.append(grade(extract_answer(answers[-1]), problem.answer))
        marks.append(accuracy(right))
    return marks


def judge(measured: Measured) -> list[Gate]:
    """The gates, computed from what was measured."""
    rows = measured["rows"][_POLICY]
    greedy = find(rows, "greedy", 1)
    best = {n: find(rows, "best_of_n", n, "last", "max") for n in (4, 16, 64)}
    # Step search decides by the default rule; best-of-N by whichever suits it best.
    rule = (SearchContext.score, SearchContext.vote)
    deep = max(
        (find(rows, name, 64, *rule) for name in ("beam_search", "dvts")),
        key=lambda row: _hard(row)[0],
    )
    shallow = max(
        (find(rows, "best_of_n", 64, "last", vote) for vote in ("max", "vote")),
        key=lambda row: _hard(row)[0],
    )
    top = max(
        (find(rows, name, 64, *rule) for name in ("beam_search", "dvts")),
        key=lambda row: row["accuracy"],
    )
    large = find(measured["rows"][_LARGE], "greedy", 1)
    auc, auc_error = measured["auc"]["tinymath-implicit"]
    sizes = measured["parameters"]
    together = sizes[_POLICY] + sizes["verifier"]
    majority = find(rows, "majority_vote", 16, None, "majority")
    rises = (
        _difference(best[16], best[4]),
        _difference(best[64], best[16]),
    )
    return [
        Gate("G0", "within-problem AUC of the default verifier", auc, auc_error, 0.9),
        Gate(
            "G1",
            "best-of-16 (Last-Max) above majority@16",
            *_difference(best[16], majority),
            0.05,
        ),
        Gate(
            "G2",
            "PRM-Vote@64 above greedy",
            *_difference(find(rows, "best_of_n", 64, "last", "vote"), greedy),
            0.10,
        ),
        Gate("G3", "smaller rise of best-of-N from 4 to 16 to 64", *min(rises), 0.0),
        Gate(
            "G4",
            f"{deep['strategy']} above best-of-64 ({shallow['vote']}) on levels 4-5",
            *_gap(_hard(deep), _hard(shallow)),
            0.03,
        ),
        Gate(
            "G5a",
            f"{top['strategy']}@64 of the default above greedy of the large policy",
            *_difference(top, large),
            0.0,
        ),
        Gate("G5b", "the large policy's greedy above the default's",
             *_difference(large, greedy), 0.0),
        Gate("G5c", "size of the large policy over the default's",
             sizes[_LARGE] / sizes[_POLICY], 0.0, 5.0),
        Gate("G5d", "size of the large policy over default and verifier together",
             sizes[_LARGE] / together, 0.0, 1.0),
    ]  # fmt: skip


def find(
    rows: Sequence[Row],
    strategy: str,
    budget: int,
    score: str | None = None,
    vote: str | None = None,
) -> Row:
    """The row of one way to answer.

    Raises:
        LookupError: If it was not measured.
    """
    for row in rows:
        if (row["strategy"], row["budget"]) == (strategy, budget) and (
            vote is None or (row["score"], row["vote"]) == (score, vote)
        ):
            return row
    msg = f"{strategy} at {budget} with {score}-{vote} was not measured"
    raise LookupError(msg)


def _difference(left: Row, right: Row) -> tuple[float, float]:
    return _gap(
        (left["accuracy"], left["stderr"]), (right["accuracy"], right["stderr"])
    )


def _gap(left: tuple[float, float], right: tuple[float, float]) -> tuple[float, float]:
    """A difference and its standard error, as if the questions were not the same.

    They are the same, so the true error is smaller: this is the careful figure.
    """
    return left[0] - right[0], math.hypot(left[1], right[1])


def _hard(row: Row) -> tuple[float, float]:
    """Accuracy and standard error on levels 4 and 5."""
    right = [
        index < round(cell["accuracy"] * cell["n"])
        for level, cell in row["by_level"].items()
        if level in _HARD
        for index in range(cell["n"])
    ]
    marks = accuracy(right)
    return marks["accuracy"], marks["stderr"]


def show(measured: Measured, gates: Sequence[Gate], console: Console) -> None:
    """Print what was measured and the gates."""
    table = Table("policy", "strategy", "N", "rule", "accuracy", "levels 1-5", "MFLOP")
    for policy, rows in measured["rows"].items():
        for row in rows:
            if row["score"] not in {None, "last"}:
                continue
            levels = " ".join(
                f"{100 * cell['accuracy']:.0f}" for cell in row["by_level"].values()
            )
            rule = row["vote"] if row["score"] is None else f"last-{row['vote']}"
            table.add_row(
                policy,
                row["strategy"],
                str(row["budget"]),
                rule,
                f"{100 * row['accuracy']:.1f} ± {100 * row['stderr']:.1f}",
                levels,
                _cost(row),
            )
    console.print(table)
    for name, (value, error) in measured["auc"].items():
        console.print(f"within-problem AUC of {name}: {value:.3f} ± {error:.3f}")
    turns = ", ".join(f"{100 * cell['accuracy']:.1f}" for cell in measured["revision"])
    console.print(f"reviser, accuracy of its answers in turn, %: {turns}")
    verdicts = Table("gate", "claim", "measured", "bound", "")
    for gate in gates:
        verdicts.add_row(
            gate.name,
            gate.claim,
            f"{gate.value:.3f} ± {gate.stderr:.3f}",
            f"{gate.bound:g}",
            "[green]passed[/]" if gate.passed else "[red]failed[/]",
        )
    console.print(verdicts)


def _cost(row: Row) -> str:
    if row["policy_flops"] is None or row["prm_flops"] is None:
        return ""
    return f"{row['policy_flops'] / 1e6:.0f} + {row['prm_flops'] / 1e6:.0f}"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; the exit code is 1 if a gate fails."""
    parser = argparse.ArgumentParser(prog="python -m langchain_tts.tinymath.gates")
    parser.add_argument("--limit", type=int, help="questions (default: all)")
    parser.add_argument("--split", default="test", choices=("test", "calibration"))
    parser.add_argument("--out", type=Path, help="write everything as JSON")
    arguments = parser.parse_args(argv)
    questions = load_dataset("tinymath", split=arguments.split, limit=arguments.limit)
    problems = load_split(arguments.split)[: arguments.limit]
    measured = measure(questions, problems)
    gates = judge(measured)
    show(measured, gates, Console())
    if arguments.out:
        record = {**measured, "gates": [asdict(gate) for gate in gates]}
        arguments.out.write_text(json.dumps(record, indent=1) + "\n")
    return 0 if all(gate.passed for gate in gates) else 1


if __name__ == "__main__":
    raise SystemExit(main())
