"""The policy on a server that takes text only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from langchain_tts.engines import server
from langchain_tts.engines.server import ServerRefusedError
from langchain_tts.policies.server import ServerPolicy
from langchain_tts.policies.server_by_text import read_chat, split_text
from tests.unit_tests.policies.fake_server import (
    END,
    LOGPROB,
    FakeServer,
    request,
    tokens,
)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    monkeypatch.setattr(server, "_FIRST_WAIT", 0.0)
    fake = FakeServer(lambda _, seed: f"{seed}+1\n\n\nso {seed + 1}", returns_ids=False)
    yield fake
    fake.network.close()


def generate(policy: ServerPolicy, *requests: Any) -> Any:
    return policy.submit(requests).result(10)


def test_the_last_message_is_continued(fake: FakeServer) -> None:
    policy = fake.policy()
    assert not policy.by_tokens
    assert policy.by_step
    (generation,) = generate(policy, request(3, 4, prefix="1+1=2\n\n"))
    (body,) = fake.bodies
    assert body["messages"] == [
        {"role": "user", "content": "What is 1+1?"},
        {"role": "assistant", "content": "1+1=2\n\n"},
    ]
    assert body["continue_final_message"] is True
    assert body["add_generation_prompt"] is False
    texts = [sample["steps"][0]["text"] for sample in generation["samples"]]
    assert texts == ["3+1", "4+1"]


def test_a_new_answer_begins_after_the_question(fake: FakeServer) -> None:
    (generation,) = generate(fake.policy(), request(3))
    (body,) = fake.bodies
    assert [message["role"] for message in body["messages"]] == ["user"]
    assert "continue_final_message" not in body
    (sample,) = generation["samples"]
    assert sample["finish_reason"] == "step"
    assert sample["steps"][0]["token_ids"] == tokens.encode("3+1\n\n")


def test_steps_of_a_whole_answer_have_their_own_log_probabilities(
    fake: FakeServer,
) -> None:
    (generation,) = generate(fake.policy(), request(3, by_step=False))
    (sample,) = generation["samples"]
    first, last = sample["steps"]
    assert (first["text"], last["text"]) == ("3+1", "so 4")
    assert sample["finish_reason"] == "stop"
    # The end of the answer is charged to the last step, and belongs to its ids.
    assert last["token_ids"][-1] == END
    total = len(tokens.encode("3+1\n\n\nso 4")) + 1
    assert first["logprob"] + last["logprob"] == pytest.approx(LOGPROB * total)
    assert first["logprob"] == pytest.approx(LOGPROB * len(tokens.encode("3+1\n\n")))
    assert generation["generated_tokens"] == total


def test_a_template_that_trims_the_delimiter_costs_a_request(
    fake: FakeServer,
) -> None:
    def answer(before: str, _seed: int) -> str:
        return "2+2=4\n\nthe end" if before.endswith("\n\n") else "\n\n2+2=4\n\nthe end"

    fake.answer, fake.trims = answer, True
    (generation,) = generate(fake.policy(), request(3, prefix="1+1=2\n\n"))
    (sample,) = generation["samples"]
    assert sample["finish_reason"] == "step"
    assert [step["text"] for step in sample["steps"]] == ["2+2=4"]
    assert ["stop" in body for body in fake.bodies] == [True, False]
    # What was written past the step is paid for.
    assert generation["generated_tokens"] > len(sample["steps"][0]["token_ids"])


def test_a_server_that_ignores_what_it_does_not_know_is_found_out(
    fake: FakeServer,
) -> None:
    fake.continues = False
    with pytest.raises(ValueError, match="nor continues a message"):
        fake.policy()


def test_a_step_that_somebody_wrote_cannot_be_read(fake: FakeServer) -> None:
    policy = fake.policy()
    with pytest.raises(ServerRefusedError, match="use a vLLM server"):
        policy.read_step(request(1)["messages"], [], "1+1=2", ends=False)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("a", ["a"]),
        ("a\n\n", ["a\n\n"]),
        ("a\n\nb", ["a\n\n", "b"]),
        ("\n\na\n\nb\n\n", ["\n\na\n\n", "b\n\n"]),
        ("a\n\n\n\nb", ["a\n\n", "\n\nb"]),
        ("a\n\nb\n\n\n", ["a\n\n", "b\n\n\n"]),
        ("a\nb\n", ["a\nb\n"]),
        ("\n\n", ["\n\n"]),
    ],
)
def test_text_is_cut_after_delimiters_that_text_stands_before(
    text: str, parts: list[str]
) -> None:
    assert split_text(text) == parts
    assert "".join(parts) == text


def chat_event(text: str, *tokens_: tuple[str, float], **ending: Any) -> dict[str, Any]:
    content = [
        {"token": piece, "bytes": list(piece.encode()), "logprob": logprob}
        for piece, logprob in tokens_
    ]
    choice = {"index": 0, "delta": {"content": text}, "logprobs": {"content": content}}
    return {"choices": [{**choice, "finish_reason": None, **ending}]}


def test_a_token_belongs_to_the_step_that_it_begins_in() -> None:
    events = [
        chat_event("é\n", ("é", -1.0), ("\n", -2.0)),
        chat_event("\nb", ("\nb", -4.0), ("<end>", -8.0), finish_reason="stop"),
    ]
    (spoken,) = read_chat(events, 1)
    assert spoken.text == "é\n\nb"
    # "\nb" begins before the delimiter ends.
    assert spoken.share(["é\n\n", "b"]) == [-7.0, -8.0]
    assert spoken.share(["é\n\nb"]) == [-15.0]
    assert spoken.finish_reason == "stop"


def test_log_probabilities_that_are_not_the_texts_make_a_sample_fail() -> None:
    (spoken,) = read_chat([chat_event("abc", ("a", -1.0), finish_reason="stop")], 1)
    assert spoken.finish_reason == "failed"


@pytest.mark.parametrize(("cut", "reason"), [(True, "length"), (False, "failed")])
def test_a_sample_without_an_end_was_cut_or_has_failed(cut: bool, reason: str) -> None:
    (spoken,) = read_chat([chat_event("a", ("a", -1.0))], 1, cut=cut)
    assert spoken.finish_reason == reason
