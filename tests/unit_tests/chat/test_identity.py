"""What a `TTSChatModel` is known by: in caches, in pickles, and by its profile."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import SecretStr

from langchain_tts import Budget, TTSChatModel
from langchain_tts._chat.identity import UnnamedModelError
from langchain_tts._chat.messages import to_messages
from langchain_tts.chat_model import SEARCH_FIELDS
from langchain_tts.policies import resolve_policy
from langchain_tts.rewards import resolve_prm
from tests.unit_tests.chat_models import ScriptedChat, said
from tests.unit_tests.counting import CountingPolicy, KnowingPrm
from tests.unit_tests.scripted import ScriptedPolicy

QUESTION = "What is 6*7?"

CHANGES: dict[str, Any] = {
    "policy": "tinymath-small",
    "prm": None,
    "strategy": "best_of_n",
    "budget": 3,
    "beam_width": 2,
    "max_rounds": 7,
    "max_step_tokens": 50,
    "max_tokens": 60,
    "temperature": 0.1,
    "seed": 5,
    "score": "prod",
    "vote": "majority",
    "turn_vote": "by_name",
    "ignored_arguments": ["a"],
    "parameters": {"lookahead": 2},
    "timeout": 4.0,
    "max_retries": 9,
    "reasoning": True,
}


def test_every_setting_has_its_own_place_in_a_cache() -> None:
    assert set(CHANGES) == set(SEARCH_FIELDS)
    models = [TTSChatModel(**{name: value}) for name, value in CHANGES.items()]
    keys = {model._get_llm_string() for model in [TTSChatModel(), *models]}
    assert len(keys) == 1 + len(CHANGES)
    called = {TTSChatModel()._get_llm_string(**{n: v}) for n, v in CHANGES.items()}
    assert len(called) == len(CHANGES)


def test_tools_have_their_own_place_in_a_cache() -> None:
    model = TTSChatModel()
    bound: list[Any] = [
        model.bind_tools([{"name": "add"}]),
        model.bind_tools([{"name": "add"}], tool_choice="any"),
        model.bind_tools([{"name": "sub"}]),
        model.bind_tools([], response_format={"type": "json_object"}),
    ]
    keys = {model._get_llm_string(**binding.kwargs) for binding in bound}
    assert len(keys) == len(bound)


def test_a_pickle_is_the_same_model() -> None:
    model = TTSChatModel(budget=Budget(8, tokens=99), temperature=0.3, stop=["x"])
    read = pickle.loads(pickle.dumps(model))  # noqa: S301 (our own)
    assert read == model
    assert read._get_llm_string() == model._get_llm_string()
    assert read.model_fields_set == model.model_fields_set


def test_a_pickle_holds_names_and_no_key() -> None:
    policy, prm = resolve_policy("tinymath-small"), resolve_prm("tinymath")
    model = TTSChatModel(policy=policy, prm=prm, api_key=SecretStr("open sesame"))
    written = pickle.dumps(model)
    assert b"open sesame" not in written
    read = pickle.loads(written)  # noqa: S301 (our own)
    assert (read.policy, read.prm, read.api_key) == ("tinymath-small", "tinymath", None)
    assert read.model_name == model.model_name
    # What was pickled is as it was.
    assert model.policy is policy
    assert model.api_key is not None


@pytest.mark.parametrize(
    "models", [{"policy": CountingPolicy(name="tinymath")}, {"prm": KnowingPrm()}]
)
def test_a_loaded_model_without_a_name_cannot_be_pickled(models: Any) -> None:
    with pytest.raises(UnnamedModelError, match="set up the chat model with a name"):
        pickle.dumps(TTSChatModel(**models))


def test_another_process_can_use_a_pickle(tmp_path: Path) -> None:
    file = tmp_path / "model"
    file.write_bytes(pickle.dumps(TTSChatModel(budget=2, seed=1)))
    code = (
        "import pickle, sys, pathlib; "
        "model = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes()); "
        "print('torch' in sys.modules, model.budget.samples, model.policy)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "2", "tinymath"]


def test_copies_share_their_loaded_models() -> None:
    policy = CountingPolicy()
    model = TTSChatModel(policy=policy, prm=KnowingPrm())
    assert copy.copy(model).policy is policy
    assert model.model_copy(update={"budget": 2}).policy is policy


def _profile(policy: Any) -> Any:
    return TTSChatModel(policy=policy).profile


def test_the_embedded_model_calls_tools_and_keeps_to_no_schema() -> None:
    profile = _profile("tinymath")
    assert profile["max_input_tokens"] == 1024
    assert profile["tool_calling"] is True
    assert profile["structured_output"] is False
    assert profile["image_inputs"] is False
    small = _profile("tinymath-small")
    assert small["tool_calling"] is False
    assert _profile(resolve_policy("tinymath-small")) == small


def test_a_folder_is_read_and_not_loaded(tmp_path: Path) -> None:
    config = {"max_position_embeddings": 4096}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert _profile(f"transformers:{tmp_path}")["max_input_tokens"] == 4096
    profile = _profile(f"vllm:{tmp_path}")
    assert profile["max_input_tokens"] == 4096
    assert profile["tool_calling"] is profile["structured_output"] is True
    assert _profile(f"vllm:{tmp_path}?max_model_len=512")["max_output_tokens"] == 512


def test_what_is_not_here_is_not_known() -> None:
    for name in (
        "http://127.0.0.1:9/v1",
        "vllm:nobody/nothing",
        "https://a.b/v1?model=x",
    ):
        profile = _profile(name)
        assert "max_input_tokens" not in profile
        assert profile["structured_output"] is True


def test_a_chat_models_profile_is_its_own_but_for_images() -> None:
    chat = ScriptedChat(
        script=lambda _m, _s: said("x"),
        profile={"max_input_tokens": 5, "image_inputs": True, "tool_calling": True},
    )
    profile = _profile(chat)
    assert profile["max_input_tokens"] == 5
    assert profile["tool_calling"] is True
    assert profile["image_inputs"] is False


def test_a_policy_tells_what_it_can() -> None:
    assert _profile(ScriptedPolicy())["tool_calling"] is True
    profile = _profile(CountingPolicy())
    assert profile["tool_calling"] is False
    assert profile["max_input_tokens"] == 4096
    assert TTSChatModel(profile={"max_input_tokens": 1}).profile == {
        "max_input_tokens": 1
    }


def _thinking(**changes: Any) -> TTSChatModel:
    settings: dict[str, Any] = {
        "policy": CountingPolicy(),
        "prm": KnowingPrm(),
        "budget": 8,
        "seed": 1,
        "reasoning": True,
    }
    return TTSChatModel(**{**settings, **changes})


STEPS = "step 1\n\nstep 2\n\nAnswer: \\boxed{42}"


@pytest.mark.parametrize("streamed", [False, True])
def test_reasoning_is_a_block_of_its_own(streamed: bool) -> None:
    model = _thinking()
    if streamed:
        chunks = list(model.stream(QUESTION))
        message: Any = sum(chunks[1:], start=chunks[0])
    else:
        message = model.invoke(QUESTION)
    assert message.text == "42"
    blocks = message.content_blocks
    assert [block["type"] for block in blocks] == ["reasoning", "text"]
    assert blocks[0]["reasoning"] == STEPS


def test_reasoning_is_not_shown_to_the_policy_again() -> None:
    policy = CountingPolicy()
    model = _thinking(policy=policy)
    answer = model.invoke(QUESTION)
    model.invoke([HumanMessage(QUESTION), answer, HumanMessage("Sure?")])
    assert policy.requests[-1]["messages"][1] == {"role": "assistant", "content": "42"}


def test_reasoning_without_an_answer_in_it_is_the_answer() -> None:
    model = _thinking(policy=ScriptedPolicy(), prm=None, strategy="majority_vote")
    assert model.invoke("Hello").content == "You said: Hello"


def test_each_candidate_has_its_own_reasoning() -> None:
    model = _thinking(strategy="best_of_n")
    (generations,) = model.generate([[HumanMessage(QUESTION)]]).generations
    assert {generation.text for generation in generations} == {"42", "41"}


@pytest.mark.parametrize(
    "block",
    [
        {"type": "reasoning", "reasoning": "hm"},
        {"type": "thinking", "thinking": "hm", "signature": "x"},
        {"type": "tool_use", "id": "1", "name": "add", "input": {}},
    ],
)
def test_what_an_assistant_thought_or_called_is_not_its_text(block: Any) -> None:
    message = AIMessage([block, {"type": "text", "text": "Yes."}])
    assert to_messages([message]) == [{"role": "assistant", "content": "Yes."}]
