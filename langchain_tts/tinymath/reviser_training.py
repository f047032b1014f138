"""Training data of the reviser (Snell et al. 2024, section 6).

A chat holds 0 to 4 wrong answers, the number drawn uniformly, and then a right one.
The last wrong answer is the one closest to the right one in character edit distance;
loss is taken on the right answer alone. All answers are the default policy's own.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from langchain_tts.policies.base import STEP_DELIMITER
from langchain_tts.search import revise
from langchain_tts.search.revise import LATEST
from langchain_tts.search.state import Message
from langchain_tts.tinymath import REVISE
from langchain_tts.tinymath.corpus import Example, question_prompt, render_example
from langchain_tts.tinymath.tokenizer import END, ROLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from transformers import PreTrainedTokenizerFast

    from langchain_tts.tinymath.problem import Problem
    from langchain_tts.tinymath.rollouts import Rollout


def conversation(question: str, answers: Sequence[str]) -> list[Message]:
    """The chat in which the next revision of `answers` is asked for."""
    asked = [Message(role="user", content=question)]
    return revise.conversation(asked, answers, REVISE)


def reviser_examples(
    tokenizer: PreTrainedTokenizerFast,
    labelled: Iterable[tuple[Problem, list[Rollout]]],
    seed: int,
) -> Iterator[Example]:
    """One chat for each right sample of each problem."""
    rng = random.Random(f"reviser {seed}")
    for problem, rollouts in labelled:
        right = [_text(r) for r in rollouts if r.right]
        wrong = [_text(r) for r in rollouts if r.complete and not r.right]
        for answer in right:
            earlier = _earlier(rng, wrong, answer)
            prompt = question_prompt(problem.question) + "".join(
                f"{text}{END}{ROLES['user']}{REVISE}{ROLES['assistant']}"
                for text in earlier
            )
            yield render_example(tokenizer, prompt, answer + END)


def _text(rollout: Rollout) -> str:
    return STEP_DELIMITER.join(rollout.steps)


def _earlier(rng: random.Random, wrong: Sequence[str], right: str) -> list[str]:
    """The wrong answers that come before a right one."""
    number = min(rng.randint(0, LATEST), len(wrong))
    if not number:
        return []
    closest = min(wrong, key=lambda text: edit_distance(text, right))
    others = list(wrong)
    others.remove(closest)
    return [*rng.sample(others, number - 1), closest]


def edit_distance(left: str, right: str) -> int:
    """Levenshtein distance in characters."""
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(right, 1):
            diagonal, row[j] = (
                row[j],
                min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b)),
            )
    return row[-1]
