"""A cascade behind a chat model: its parameters, its name in caches, its pickle."""

from __future__ import annotations

import pickle

import pytest

from langchain_tts import TTSChatModel
from langchain_tts._chat.identity import UnnamedModelError
from langchain_tts.strategies.parameters import (
    parse_parameters,
    parse_strategy,
    strategy_text,
)
from tests.unit_tests.counting import CountingPolicy, counting_model

QUESTION = "What is 6*7?"


def test_the_larger_policies_are_a_parameter_of_a_call() -> None:
    larger = CountingPolicy(name="larger")
    model = counting_model(strategy="cascade")
    parameters = {"cascade": [larger], "defer_below": 1.0}
    message = model.invoke(QUESTION, parameters=parameters)
    assert message.response_metadata["tts"]["route"]["answered_by"] == "larger"
    assert len(larger.requests) == 1


def test_a_list_of_names_comes_from_json() -> None:
    model = TTSChatModel(parameters={"cascade": ["tinymath-large"]})
    assert model.search_context().cascade == ("tinymath-large",)
    with pytest.raises(ValueError, match="give a list of policies"):
        TTSChatModel(parameters={"cascade": "tinymath-large"})


def test_other_policies_are_another_model_in_a_cache() -> None:
    first, second = CountingPolicy(name="a"), CountingPolicy(name="b")
    keys = [
        counting_model(parameters={"cascade": [one]})._identifying_params["parameters"]
        for one in (first, second, CountingPolicy(name="a"))
    ]
    assert keys[0] == keys[2] != keys[1]
    assert keys[0]["cascade"] == ["tests.unit_tests.counting.CountingPolicy:a:1000"]


def test_a_pickle_holds_names_only() -> None:
    model = TTSChatModel(parameters={"cascade": ["tinymath-large"]})
    read = pickle.loads(pickle.dumps(model))  # noqa: S301 (our own)
    assert read.parameters == {"cascade": ["tinymath-large"]}
    loaded = TTSChatModel(parameters={"cascade": [CountingPolicy()]})
    with pytest.raises(UnnamedModelError, match="counting"):
        pickle.dumps(loaded)


def test_as_text_names_are_separated_by_commas() -> None:
    text = "cascade?cascade=a,b&defer_below=0.9"
    parameters = {"cascade": ("a", "b"), "defer_below": 0.9}
    assert parse_strategy(text) == ("cascade", parameters)
    assert strategy_text("cascade", parameters) == text
    assert parse_parameters(["cascade=a, b,"]) == {"cascade": ("a", "b")}
    assert parse_parameters(["cascade="]) == {"cascade": ()}
