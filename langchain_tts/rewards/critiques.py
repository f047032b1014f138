r"""How generative PRMs are asked for a critique, and where their verdict is read.

- `GenPRMFormat`: GenPRM (Zhao et al. 2025, arXiv 2504.00891).
- `ThinkPRMFormat`: ThinkPRM (Khalifa et al. 2025, arXiv 2504.16828).
- `PlainFormat`: any chat model that was not trained for it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from bisect import bisect_right
from typing import TYPE_CHECKING, ClassVar

from langchain_tts.engines.errors import ModelLoadError
from langchain_tts.rewards.reader import LabelHead
from langchain_tts.search.state import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_tts.engines.tokens import ModelTokenizer

_HEADER = re.compile(r"\A(?:#+ )?Step \d+\s*:\s*")


class CritiqueFormat(ABC):
    """A conversation about a solution, the critique, and what follows it."""

    verdict: ClassVar[str]
    """What stands between the critique and the label."""
    good: ClassVar[str]
    """The label of a right step: one token."""
    bad: ClassVar[str]
    """The label of a wrong step: one token."""
    remembers: ClassVar[bool] = False
    """Whether the critiques of earlier steps are part of the conversation."""

    @abstractmethod
    def chat(
        self,
        question: str,
        steps: Sequence[str],
        critiques: Sequence[str],
        first: int,
    ) -> list[Message]:
        """The conversation up to where the critique of the last step begins.

        Args:
            question: What is being solved.
            steps: The steps so far; the last one is to be judged.
            critiques: Those of all steps but the last, where the format `remembers`.
            first: The number of the first of `steps`: more than 1 where older ones do
                not fit the model's window.
        """

    def opening(self, number: int) -> str:  # noqa: ARG002 (for formats with one)
        """What the answer begins with, before the critique; `number` is the step's."""
        return ""

    @abstractmethod
    def endings(self, number: int) -> tuple[str, ...]:
        """Texts with which the critique is over, where the model writes one."""

    def critique_ids(
        self, tokens: ModelTokenizer, ids: list[int], number: int
    ) -> list[int]:
        """Token ids before the first of the endings; all where there is none.

        Args:
            tokens: The model's tokenizer.
            ids: What the model wrote after the opening.
            number: Of the step.
        """
        text = tokens.text(ids)
        found = (text.find(ending) for ending in self.endings(number))
        end = min((place for place in found if place >= 0), default=None)
        if end is None:
            return ids
        # The most tokens that spell nothing of the ending.
        count = bisect_right(range(1, len(ids) + 1), end, key=_spells(tokens, ids))
        return ids[:count]

    def head(self, tokens: ModelTokenizer) -> LabelHead:
        """The two labels as tokens.

        Raises:
            ModelLoadError: If one of them is not a single token, or both are the same.
        """
        good, bad = tokens.single_id(self.good), tokens.single_id(self.bad)
        if good == bad:
            msg = f"{self.good!r} and {self.bad!r} are one token in {tokens.source}"
            raise ModelLoadError(msg)
        return LabelHead(good, bad)

    def answer(self, number: int, critique: str, *, right: bool) -> str:
        """A whole answer with its verdict, to be shown with the next step."""
        label = self.good if right else self.bad
        return f"{self.opening(number)}{critique}{self.verdict}{label}"


class PlainFormat(CritiqueFormat):
    """Asks any chat model in plain words about the newest step."""

    verdict = "\n\nVerdict:"
    good = " Yes"
    bad = " No"

    def chat(
        self,
        question: str,
        steps: Sequence[str],
        critiques: Sequence[str],  # noqa: ARG002 (each step is judged anew)
        first: int,
    ) -> list[Message]:
        """One question with all steps."""
        last = first + len(steps) - 1
        content = (
            "Somebody is solving the problem below step by step. Check the newest "
            f"step, step {last}: is it right, and are the steps that it builds on? "
            "Explain in a few sentences. Then write 'Verdict: Yes' if it is right, or "
            f"'Verdict: No' if it is not.\n\nProblem:\n{question}\n\n"
            f"Steps so far:\n{_numbered(steps, first)}"
        )
        return [Message(role="user", content=content)]

    def endings(self, number: int) -> tuple[str, ...]:  # noqa: ARG002 (always this one)
        """The model's own verdict."""
        return ("Verdict:",)


class GenPRMFormat(CritiqueFormat):
    r"""A conversation of paragraphs and analyses, as GenPRM was trained.

    The user writes a paragraph in each turn, the first one after the question. The
    model analyzes it between `<analyze>` and `</analyze>`, and judges it in
    `<output>` with `\boxed{Yes}` or `\boxed{No}`.

    This is the model's mode of analysis only. The other one writes Python code after
    the analysis and has it executed, which this package does not do. The prompt ends
    with the chat template's own beginning of an answer, which the authors' code leaves
    out.

    Source: RyanLiu112/GenPRM (`src/prm_evaluation/infer_module/genprm_inference.py`).
    """

    verdict = "</analyze>\n<output>\n**Judgement**: $\\boxed{"
    good = "Yes"
    bad = "No"
    remembers = True

    _SYSTEM: ClassVar[str] = (
        "You are a math teacher. Your task is to review and critique the paragraphs in "
        "solution step by step."
    )

    def chat(
        self,
        question: str,
        steps: Sequence[str],
        critiques: Sequence[str],
        first: int,  # noqa: ARG002 (the analysis names the paragraph)
    ) -> list[Message]:
        """A turn a paragraph."""
        turns = [f"Question: {question}\n\n{steps[0]}", *steps[1:]]
        chat = [Message(role="system", content=self._SYSTEM)]
        for turn, critique in zip(turns, critiques, strict=False):
            chat.append(Message(role="user", content=turn))
            chat.append(Message(role="assistant", content=critique))
        return [*chat, Message(role="user", content=turns[-1])]

    def opening(self, number: int) -> str:
        """The beginning of the analysis."""
        return f"<analyze>\nLet's analyze the Paragraph {number} step by step: "

    def endings(self, number: int) -> tuple[str, ...]:  # noqa: ARG002 (always these)
        """The end of the analysis, and what must not come before it."""
        return ("</analyze>", "<verify>", "<output>")

    def answer(self, number: int, critique: str, *, right: bool) -> str:
        """The answer with its closing tag."""
        return f"{super().answer(number, critique, right=right)}}}$\n</output>\n"


class ThinkPRMFormat(CritiqueFormat):
    """All steps in one question, verified one after the other, as ThinkPRM was trained.

    The verdict is one on the whole prefix. Verification is ended where the model goes
    on to steps that there are not yet.

    Source: mukhal/ThinkPRM (`prm/thinkprm_api.py`, `utils/helper.py`).
    """

    verdict = "\nIs the solution correct?"
    good = " Yes"
    bad = " No"

    def chat(
        self,
        question: str,
        steps: Sequence[str],
        critiques: Sequence[str],  # noqa: ARG002 (each prefix is verified anew)
        first: int,
    ) -> list[Message]:
        """One question with all steps."""
        content = (
            "You are given a math problem and a proposed step-by-step solution:\n\n"
            f"[Math Problem]\n\n{question}\n\n[Solution]\n\n{_numbered(steps, first)}"
            "\n\nReview and critique each step in the proposed solution to determine "
            "whether each step is correct. If the solution is incomplete, only verify "
            "the provided steps."
        )
        return [Message(role="user", content=content)]

    def opening(self, number: int) -> str:  # noqa: ARG002 (always the same)
        """The beginning of the verification."""
        return "Let's verify step by step:"

    def endings(self, number: int) -> tuple[str, ...]:
        """The model's own verdict, the end of its thoughts, or a step too many."""
        return ("Is the solution correct?", "</think>", f"Step {number + 1}:")


CRITIQUE_FORMATS: dict[str, type[CritiqueFormat]] = {
    "plain": PlainFormat,
    "genprm": GenPRMFormat,
    "thinkprm": ThinkPRMFormat,
}
"""All formats by their names."""


def _spells(tokens: ModelTokenizer, ids: list[int]) -> Callable[[int], int]:
    """How long the text of the first so many tokens is."""
    return lambda count: len(tokens.text(ids[:count]))


def _numbered(steps: Sequence[str], first: int) -> str:
    """A step a line, as `Step k: ...`, without a header of its own."""
    lines = []
    for number, step in enumerate(steps, start=first):
        text = _HEADER.sub("", step.strip())
        lines.append(f"Step {number}: {text}")
    return "\n".join(lines)
