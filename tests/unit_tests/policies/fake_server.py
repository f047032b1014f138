"""A server that speaks vLLM's protocol with the embedded tokenizer, and no model."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx

from langchain_tts.engines.loops import Network
from langchain_tts.engines.tokens import load_tokenizer
from langchain_tts.policies.server import ServerPolicy
from langchain_tts.tinymath import WEIGHTS

FOLDER = str(WEIGHTS / "policy")
LOGPROB = -0.25
"""Of each token that it writes."""
TOOLS_TOKENS = 9
"""Of a chat that offers tools."""
END = 1
"""Its token that ends an answer."""

tokens, _ = load_tokenizer(FOLDER)


def decode(ids: list[int]) -> str:
    text: str = tokens.tokenizer.decode(ids)
    return text


class FakeServer:
    """Writes what `answer` says, given all text before and the seed.

    Args:
        answer: The rest of the answer.
        window: Tokens of its context window.
        returns_ids: Whether it knows `return_token_ids`.
        continues: Whether it knows `continue_final_message`.
        trims: Whether its chat template trims messages.
        tokenizes: Whether it has `/tokenize`.
        root: Where it says that its model is.
    """

    def __init__(
        self,
        answer: Callable[[str, int], str] = lambda _before, _seed: "1+1=2",
        *,
        window: int = 1024,
        returns_ids: bool = True,
        continues: bool = True,
        trims: bool = False,
        tokenizes: bool = True,
        root: str | None = FOLDER,
    ) -> None:
        self.answer = answer
        self.window = window
        self.returns_ids = returns_ids
        self.continues = continues
        self.trims = trims
        self.tokenizes = tokenizes
        self.root = root
        self.models = ["tiny"]
        self.cached = 0
        self.fault: Callable[[dict[str, Any]], httpx.Response | None] = lambda _: None
        self.bodies: list[dict[str, Any]] = []
        """Of requests to generate."""
        self.tokenized: list[dict[str, Any]] = []
        """Bodies of requests to tokenize."""
        self.network = Network(httpx.MockTransport(self._serve))

    def policy(self, **options: Any) -> ServerPolicy:
        policy = ServerPolicy(["http://fake/v1"], on=self.network, **options)
        self.bodies.clear()
        return policy

    def _serve(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content or "null")
        path = request.url.path
        if path == "/v1/models":
            return httpx.Response(
                200, json={"data": list(map(self._model, self.models))}
            )
        if path == "/tokenize" and self.tokenizes:
            self.tokenized.append(body)
            ids = (
                self._chat(body)
                if "messages" in body
                else tokens.encode(body["prompt"])
            )
            return httpx.Response(
                200, json={"tokens": ids, "max_model_len": self.window}
            )
        if path == "/detokenize" and self.tokenizes:
            return httpx.Response(200, json={"prompt": decode(body["tokens"])})
        if path in {"/v1/completions", "/v1/chat/completions"}:
            self.bodies.append(body)
            return self.fault(body) or self._generate(body)
        return httpx.Response(404, json={"detail": "Not Found"})

    def _model(self, name: str) -> dict[str, Any]:
        return {"id": name, "root": self.root, "max_model_len": self.window}

    def _chat(self, body: dict[str, Any]) -> list[int]:
        if "tools" in body:
            return tokens.encode("0" * TOOLS_TOKENS)
        messages: Any = [
            {"role": m["role"], "content": m["content"]} for m in body["messages"]
        ]
        if not (self.continues and body.get("continue_final_message")):
            closed = messages[-1]["role"] == "assistant"
            plain = tokens.chat_ids([m for m in messages if m["role"] != "assistant"])
            said = tokens.encode(messages[-1]["content"]) if closed else []
            return [*plain, *said, *([END] if closed else [])]
        said = messages[-1]["content"]
        return [
            *tokens.chat_ids(messages[:-1]),
            *tokens.encode(said.strip() if self.trims else said),
        ]

    def _generate(self, body: dict[str, Any]) -> httpx.Response:
        chat = "messages" in body
        prompt = self._chat(body) if chat else body["prompt"]
        written = [self._write(prompt, body, i) for i in range(body.get("n", 1))]
        show = self._chat_choice if chat else self._choice
        choices = [
            show(i, ids, reason, stop, body)
            for i, (ids, reason, stop) in enumerate(written)
        ]
        details = {"cached_tokens": self.cached}
        usage = {"prompt_tokens": len(prompt), "prompt_tokens_details": details}
        if not body.get("stream"):
            return httpx.Response(200, json={"choices": choices, "usage": usage})
        events: list[dict[str, Any]] = [{"choices": [choice]} for choice in choices]
        events.append({"choices": [], "usage": usage})
        lines = [f"data: {json.dumps(event)}\n\n" for event in events]
        return httpx.Response(200, content="".join([*lines, "data: [DONE]\n\n"]))

    def _write(
        self, prompt: list[int], body: dict[str, Any], place: int
    ) -> tuple[list[int], str, str | None]:
        text = self.answer(decode(prompt), body.get("seed", 0) + place)
        ids = [*tokens.encode(text), END]
        for stop in body.get("stop", ()):
            for size in range(1, len(ids)):
                if stop in decode(ids[:size]) and size <= body["max_tokens"]:
                    return ids[:size], "stop", stop
        if len(ids) > body["max_tokens"]:
            return ids[: body["max_tokens"]], "length", None
        return ids, "stop", None

    def _choice(
        self,
        place: int,
        ids: list[int],
        reason: str,
        stop: str | None,
        body: dict[str, Any],
    ) -> dict[str, Any]:
        logprobs = {
            "tokens": [decode([i]) for i in ids],
            "token_logprobs": [LOGPROB] * len(ids),
        }
        return {
            "index": place,
            "text": decode(ids),
            "logprobs": logprobs if "logprobs" in body else None,
            "finish_reason": reason,
            "stop_reason": stop,
            "token_ids": ids if self.returns_ids else None,
        }

    def _chat_choice(
        self,
        place: int,
        ids: list[int],
        reason: str,
        stop: str | None,
        body: dict[str, Any],
    ) -> dict[str, Any]:
        content = [
            {
                "token": decode([i]),
                "bytes": list(decode([i]).encode()),
                "logprob": LOGPROB,
            }
            for i in ids
        ]
        said = decode([i for i in ids if i != END])
        field = "delta" if body.get("stream") else "message"
        return {
            "index": place,
            field: {"content": said},
            "logprobs": {"content": content},
            "finish_reason": reason,
            "stop_reason": stop,
        }


def request(*seeds: int, prefix: str = "", by_step: bool = True, **options: Any) -> Any:
    """A request for some samples."""
    return {
        "messages": [{"role": "user", "content": "What is 1+1?"}],
        "prefix": tokens.encode(prefix),
        "n": len(seeds),
        "seeds": list(seeds),
        "by_step": by_step,
        "max_tokens": 100,
        "temperature": 1.0,
        "deadline": None,
        **options,
    }
