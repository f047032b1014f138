"""The tokenizer of a model that a server runs: read here, or asked for over there."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

from langchain_tts.engines.replies import ServerError
from langchain_tts.policies.base import STEP_DELIMITER
from langchain_tts.policies.server_messages import openai_messages
from langchain_tts.search.turns import tools_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from langchain_tts.engines.server import ServerPool
    from langchain_tts.engines.steps import StepRule
    from langchain_tts.engines.tokens import ModelTokenizer
    from langchain_tts.search.state import Message

P = ParamSpec("P")
T = TypeVar("T")

_REMEMBERED = 16_384


class Rule(Protocol):
    """Where a step ends; see `engines.steps.StepRule`."""

    def ends_step(self, ids: Sequence[int]) -> bool:
        """Whether the last of a step's token ids completes the step."""

    def split(self, ids: list[int]) -> list[list[int]]:
        """Cut a whole answer's ids into steps, each with its delimiter."""


class ServerTokens(Protocol):
    """What a policy on a server needs of a tokenizer."""

    local: bool
    """False: its methods wait for the server."""

    @property
    def rule(self) -> Rule:
        """Where a step ends."""

    @property
    def end(self) -> list[int]:
        """The id that ends an answer, or nothing where it is not known."""

    def chat_ids(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a chat, up to where the assistant's answer begins."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a text alone, without special tokens around it."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids."""

    def step_texts(self, steps: list[list[int]]) -> list[str]:
        """Texts of steps, without delimiters and special tokens."""

    def learn(self, ids: Sequence[int], pieces: Sequence[str], *, ended: bool) -> None:
        """Take note of an answer's tokens.

        Args:
            ids: Token ids.
            pieces: The text of each of them by itself.
            ended: Whether the last one ends the answer.
        """

    async def call(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call what uses this tokenizer, without blocking the loop."""


class LocalTokens:
    """A tokenizer that this process has read.

    Args:
        tokens: The model's.
    """

    local = True

    def __init__(self, tokens: ModelTokenizer) -> None:
        """Take over what is there."""
        self.known = tokens
        self.rule: StepRule = tokens.rule
        self.end: list[int] = [tokens.tokenizer.eos_token_id]
        self.chat_ids = tokens.chat_ids
        self.encode = tokens.encode
        self.step_texts = tokens.step_texts

    def decode(self, ids: Sequence[int]) -> str:
        """See `ServerTokens`."""
        text: str = self.known.tokenizer.decode(list(ids))
        return text

    def learn(self, ids: Sequence[int], pieces: Sequence[str], *, ended: bool) -> None:
        """Nothing to learn: the vocabulary is known."""

    async def call(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """See `ServerTokens`."""
        return function(*args, **kwargs)


class RemoteTokens:
    """A tokenizer that only the server has: `/tokenize` and `/detokenize` of vLLM.

    What was asked once is remembered. Its methods wait for the network's loop and must
    not be called on it (`call` sees to that).

    Args:
        pool: The servers.
        model: The model's name there.
    """

    local = False

    def __init__(self, pool: ServerPool, model: str) -> None:
        """Ask nothing yet."""
        self._pool = pool
        self._model = model
        self._known: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()
        self.rule = PieceRule()
        self.end: list[int] = []

    def chat_ids(self, messages: Sequence[Message]) -> list[int]:
        """See `ServerTokens`."""
        body = {"messages": openai_messages(messages), "add_generation_prompt": True}
        tools = tools_of(messages)
        if tools:
            body["tools"] = tools
        key = ("chat", json.dumps(body))
        return list(self._ask(key, "/tokenize", body, "tokens", list))

    def encode(self, text: str) -> list[int]:
        """See `ServerTokens`."""
        body = {"prompt": text, "add_special_tokens": False}
        return list(self._ask(text, "/tokenize", body, "tokens", list))

    def decode(self, ids: Sequence[int]) -> str:
        """See `ServerTokens`."""
        if not ids:
            return ""
        body = {"tokens": list(ids)}
        return self._ask(tuple(ids), "/detokenize", body, "prompt", str)

    def step_texts(self, steps: list[list[int]]) -> list[str]:
        """See `ServerTokens`."""
        plain = ([i for i in step if i not in self.rule.ends] for step in steps)
        return [self.decode(step).strip("\n") for step in plain]

    def learn(self, ids: Sequence[int], pieces: Sequence[str], *, ended: bool) -> None:
        """See `ServerTokens`."""
        self.rule.pieces.update(zip(ids, pieces, strict=True))
        if ended and ids:
            self.rule.ends.add(ids[-1])
            self.end = [ids[-1]]

    async def call(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """See `ServerTokens`."""
        return await asyncio.to_thread(function, *args, **kwargs)

    def _ask(
        self, key: Hashable, path: str, body: dict[str, Any], field: str, kind: type[T]
    ) -> T:
        """One field of an answer, remembered."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                known: T = self._known[key]
                return known
        asked = self._pool.request(path, {"model": self._model, **body})
        value = self._pool.run(asked).result().get(field)
        if not isinstance(value, kind):
            msg = f"{self._pool.name} answered {path} without {field!r}"
            raise ServerError(msg)
        with self._lock:
            self._known[key] = value
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return value


class PieceRule:
    """Tells where steps end from the texts of tokens that were generated.

    It knows the tokens that it was told of, which are those of all answers so far.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self.pieces: dict[int, str] = {}
        self.ends: set[int] = set()
        """Tokens that end an answer."""

    def ends_step(self, ids: Sequence[int]) -> bool:
        """See `Rule`."""
        if not ids or self._is_blank(ids):
            return False
        last = self.pieces[ids[-1]]
        before = self.pieces[ids[-2]] if len(ids) > 1 else ""
        joined = before.endswith("\n") and last.startswith("\n")
        return STEP_DELIMITER in last or joined

    def split(self, ids: list[int]) -> list[list[int]]:
        """See `Rule`."""
        steps: list[list[int]] = []
        start = 0
        for stop in range(1, len(ids) + 1):
            if self.ends_step(ids[start:stop]):
                steps.append(ids[start:stop])
                start = stop
        rest = ids[start:]
        if rest and steps and self._is_blank(rest):
            steps[-1].extend(rest)
        elif rest:
            steps.append(rest)
        return steps

    def _is_blank(self, ids: Sequence[int]) -> bool:
        return all(i in self.ends or not self.pieces[i].strip() for i in ids)
