"""Generative PRMs: they write a critique of a step first, then judge it."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from langchain_tts.engines.errors import ModelLoadError, PromptTooLongError
from langchain_tts.engines.loops import network
from langchain_tts.policies.base import STEP_DELIMITER, GenerationRequest
from langchain_tts.rewards.base import RewardModel, Scores
from langchain_tts.rewards.formats.base import ANYTHING, question_text
from langchain_tts.rewards.memory import Memory
from langchain_tts.rewards.reader import Reading
from langchain_tts.search.state import Message

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from concurrent.futures import Future

    from langchain_tts.policies.base import Generation, Policy, Sample
    from langchain_tts.rewards.base import ScoreRequest
    from langchain_tts.rewards.critiques import CritiqueFormat
    from langchain_tts.rewards.reader import Read, Reader

_SEVERAL = 0.6
"""The temperature of several critiques, which must differ."""
_LEAST_ROOM = 4
"""Old steps are left out before less than a part in so many of the window is left for
the critique."""


class CritiqueError(RuntimeError):
    """A step for which the model wrote no critique at all."""


class _Prefix(NamedTuple):
    """What is judged: the last of some steps, after those before it."""

    question: str
    steps: tuple[str, ...]


class _Verdict(NamedTuple):
    """What is known of a prefix."""

    score: float
    answer: str
    """The first critique with its verdict, for the conversation about later steps."""
    computed: int
    cached: int
    dropped: int


@dataclass(frozen=True)
class _Plan:
    """How a prefix is judged."""

    request: GenerationRequest
    before: list[int]
    """Token ids up to where the critique begins."""
    number: int
    """Of the step, counted from 1."""
    dropped: int


class GenerativePRM(RewardModel):
    """Writes a critique of the newest step; the score is P(Yes) after it.

    The verdict's words are put behind every critique, so that one that was cut at
    `max_tokens`, or ends without a verdict, is judged like the others; `cut` counts
    those that were cut. Where the model went on to a verdict of its own, or to the next
    step, the critique ends there.

    Each distinct prefix is judged once; what was judged is remembered. The critiques of
    a prefix depend on it alone, not on the search.

    Args:
        writer: Writes the critiques: the same model as the reader's, by token ids.
        reader: Reads P(Yes).
        critique_format: What the model was trained to be asked.
        name: What the user asked for.
        critiques: How many critiques of a prefix are averaged.
        max_tokens: New tokens that a critique may have.
        temperature: Of the critiques; None: 0 for one, 0.6 for several.

    Raises:
        ModelLoadError: If the writer and the reader are not the same model.
        ValueError: If there is to be no critique, or one without tokens.
    """

    def __init__(
        self,
        writer: Policy,
        reader: Reader,
        critique_format: CritiqueFormat,
        *,
        name: str,
        critiques: int = 1,
        max_tokens: int = 1024,
        temperature: float | None = None,
    ) -> None:
        """Check that the parts fit."""
        for what, value in (("critiques", critiques), ("max_tokens", max_tokens)):
            given: object = value
            if not isinstance(given, int) or given < 1:
                msg = f"{what} is {value!r}; give a whole number of at least 1"
                raise ValueError(msg)
        self.name = name
        self.num_parameters = reader.num_parameters
        self.cut = 0
        """Critiques that were cut so far."""
        self._writer = writer
        self._reader = reader
        self._format = critique_format
        self._critiques = critiques
        self._max_tokens = max_tokens
        if temperature is None:
            temperature = 0.0 if critiques == 1 else _SEVERAL
        self._temperature = temperature
        self._window = min(reader.context_window, writer.context_window)
        verdict = critique_format.verdict
        self._verdict = reader.tokens.continuation_ids(ANYTHING, verdict)
        self._known: Memory[_Verdict] = Memory()
        probe = [Message(role="user", content=ANYTHING)]
        if writer.count_prompt_tokens(probe) != len(reader.tokens.chat_ids(probe)):
            msg = (
                f"verifier {name!r} writes its critiques with another chat template, "
                "or with a system prompt, than it reads them with; both must be the "
                "same model, the writer with family='none'"
            )
            raise ModelLoadError(msg)

    def submit(self, requests: Sequence[ScoreRequest]) -> Future[list[Scores]]:
        """Start scoring. Cancelling the future ends the critiques.

        The future fails with `PromptTooLongError` if a question and a single step leave
        no room for a critique, and with `CritiqueError` if there was none.

        Raises:
            ValueError: If more new steps are asked for than there are.
        """
        for request in requests:
            if not 0 <= request["new"] <= len(request["steps"]):
                msg = (
                    f"{request['new']} new steps are to be scored, but the trajectory "
                    f"has {len(request['steps'])}"
                )
                raise ValueError(msg)
        return network().run(self._all(requests))

    async def _all(self, requests: Sequence[ScoreRequest]) -> list[Scores]:
        """Judge all prefixes that have no verdict yet, those of one round together."""
        wholes = [self._prefix(request) for request in requests]
        found: dict[_Prefix, _Verdict] = {}
        unpaid: set[_Prefix] = set()
        for wanted in self._rounds(wholes, requests):
            new = []
            for prefix in wanted:
                verdict = self._known.get(prefix)
                if verdict is None:
                    new.append(prefix)
                else:
                    found[prefix] = verdict
            if new:
                found |= await self._judge(new, found)
                unpaid.update(new)
        return [
            _answer(whole, request["new"], found, unpaid)
            for whole, request in zip(wholes, requests, strict=True)
        ]

    def _prefix(self, request: ScoreRequest) -> _Prefix:
        tokens = self._reader.tokens
        steps = [tokens.spelled_out(step) for step in request["steps"]]
        return _Prefix(question_text(tokens, request["messages"]), tuple(steps))

    def _rounds(
        self, wholes: Sequence[_Prefix], requests: Sequence[ScoreRequest]
    ) -> Iterable[list[_Prefix]]:
        """The distinct prefixes to judge, each after those that it needs."""
        rounds: dict[int, dict[_Prefix, None]] = {}
        for whole, request in zip(wholes, requests, strict=True):
            length = len(whole.steps)
            first = length - request["new"] + 1
            if self._format.remembers and request["new"]:
                first = 1
            for end in range(first, length + 1):
                turn = end if self._format.remembers else 0
                rounds.setdefault(turn, {})[_upto(whole, end)] = None
        return [list(rounds[turn]) for turn in sorted(rounds)]

    async def _judge(
        self, prefixes: Sequence[_Prefix], found: dict[_Prefix, _Verdict]
    ) -> dict[_Prefix, _Verdict]:
        """Write and read the critiques of some prefixes, in one batch each."""
        plans = await asyncio.to_thread(
            lambda: [self._plan(prefix, found) for prefix in prefixes]
        )
        # In threads, because an engine may do more than start here.
        writing = await asyncio.to_thread(
            self._writer.submit, [plan.request for plan in plans]
        )
        generations = await asyncio.wrap_future(writing)
        critiques = [
            await asyncio.to_thread(self._critiques_of, plan, generation)
            for plan, generation in zip(plans, generations, strict=True)
        ]
        readings = [
            self._reading(plan, ids)
            for plan, several in zip(plans, critiques, strict=True)
            for ids in several
        ]
        reading = await asyncio.to_thread(self._reader.read, readings)
        reads = await asyncio.wrap_future(reading)
        left = iter(reads)
        verdicts = {}
        for prefix, plan, generation, several in zip(
            prefixes, plans, generations, critiques, strict=True
        ):
            own = [next(left) for _ in several]
            verdict = self._verdict_of(plan, generation, several, own)
            self._known.put(prefix, verdict)
            verdicts[prefix] = verdict
        return verdicts

    def _plan(self, prefix: _Prefix, found: dict[_Prefix, _Verdict]) -> _Plan:
        """The conversation, with as many of the newest steps as fit.

        Raises:
            PromptTooLongError: If not even one does.
        """
        tokens, number = self._reader.tokens, len(prefix.steps)
        opening = tokens.encode(self._format.opening(number))
        least = min(self._max_tokens, self._window // _LEAST_ROOM)
        answers = [
            found[_upto(prefix, end)].answer
            for end in range(1, number)
            if self._format.remembers
        ]
        for dropped in range(number):
            chat = self._format.chat(
                prefix.question, prefix.steps[dropped:], answers[dropped:], dropped + 1
            )
            before = [*tokens.chat_ids(chat), *opening]
            room = self._window - len(before) - len(self._verdict)
            if room >= least:
                break
        if room < 1:
            msg = (
                f"the question and one step ({len(before)} tokens) leave no room for a "
                f"critique in the {self._window} tokens of verifier {self.name!r}; "
                "shorten them, or use a verifier with a longer context window"
            )
            raise PromptTooLongError(msg)
        request = GenerationRequest(
            messages=chat,
            prefix=opening,
            n=self._critiques,
            seeds=_seeds(prefix, self._critiques),
            by_step=False,
            max_tokens=min(self._max_tokens, room),
            temperature=self._temperature,
            deadline=None,
        )
        return _Plan(request, before, number, dropped)

    def _critiques_of(self, plan: _Plan, generation: Generation) -> list[list[int]]:
        """Token ids of each critique, without what comes after it.

        Raises:
            CritiqueError: If there is none.
        """
        written = [s for s in generation["samples"] if s["finish_reason"] != "failed"]
        if not written:
            why = generation.get("problem", "the engine returned no usable sample")
            msg = f"verifier {self.name!r} wrote no critique: {why}"
            raise CritiqueError(msg)
        critiques = []
        for sample in written:
            ids = self._ids(sample)
            kept = self._format.critique_ids(self._reader.tokens, ids, plan.number)
            self.cut += sample["finish_reason"] == "length" and len(kept) == len(ids)
            critiques.append(kept)
        return critiques

    def _ids(self, sample: Sample) -> list[int]:
        """What a sample wrote, without the token that ends an answer."""
        tokens = self._reader.tokens
        ids = [token for step in sample["steps"] for token in step["token_ids"]]
        if not ids:
            # A server that tells no token ids.
            texts = [step["text"] for step in sample["steps"]]
            return tokens.encode(STEP_DELIMITER.join(texts))
        while ids and ids[-1] in tokens.eos_ids:
            ids.pop()
        return ids

    def _reading(self, plan: _Plan, critique: list[int]) -> Reading:
        ids = [*plan.before, *critique, *self._verdict]
        return Reading(ids, [len(ids) - 1])

    def _verdict_of(
        self,
        plan: _Plan,
        generation: Generation,
        critiques: Sequence[list[int]],
        reads: Sequence[Read],
    ) -> _Verdict:
        scores = [score for read in reads for score in read.scores]
        answer = ""
        if self._format.remembers:
            text = self._reader.tokens.text(critiques[0])
            right = scores[0] >= 0.5  # noqa: PLR2004 (more likely than not)
            answer = self._format.answer(plan.number, text, right=right)
        ids = (step["token_ids"] for s in generation["samples"] for step in s["steps"])
        written = max(generation.get("generated_tokens", 0), sum(map(len, ids)))
        return _Verdict(
            score=sum(scores) / len(scores),
            answer=answer,
            computed=generation["prompt_tokens"]
            + written
            + sum(read.computed for read in reads),
            cached=generation["cached_tokens"] + sum(read.cached for read in reads),
            dropped=plan.dropped,
        )


def _upto(whole: _Prefix, end: int) -> _Prefix:
    return _Prefix(whole.question, whole.steps[:end])


def _seeds(prefix: _Prefix, count: int) -> list[int]:
    """Consecutive seeds that depend on the prefix alone."""
    text = "\0".join([prefix.question, *prefix.steps])
    digest = hashlib.blake2b(text.encode(), digest_size=4).digest()
    first = int.from_bytes(digest)
    return [*range(first, first + count)]


def _answer(
    whole: _Prefix, new: int, found: dict[_Prefix, _Verdict], unpaid: set[_Prefix]
) -> Scores:
    """The scores of one request; the first to ask for a prefix pays for it."""
    length = len(whole.steps)
    computed = cached = 0
    for end in range(1, length + 1):
        prefix = _upto(whole, end)
        verdict = found.get(prefix)
        if verdict is None:
            continue
        paid = prefix in unpaid
        unpaid.discard(prefix)
        computed += verdict.computed if paid else 0
        if paid or end > length - new:
            cached += verdict.cached if paid else verdict.computed + verdict.cached
    verdicts = [found[_upto(whole, end)] for end in range(length - new + 1, length + 1)]
    return Scores(
        scores=[verdict.score for verdict in verdicts],
        computed_tokens=computed,
        cached_tokens=cached,
        dropped_steps=max((verdict.dropped for verdict in verdicts), default=0),
    )
