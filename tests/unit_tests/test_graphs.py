"""The graphs that `langgraph dev` opens: all are listed, and each is run by a form."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.graph.state import CompiledStateGraph

from langchain_tts.budget import Budget
from langchain_tts.strategies._catalog import BUILT_IN
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import solve
from tests.unit_tests.fakes import QUESTION, TreePolicy, TreePrm, random_language

if TYPE_CHECKING:
    from langchain_tts.strategies import Strategy

ROOT = Path(__file__).parents[2]
CONFIG = json.loads((ROOT / "langgraph.json").read_text())

each_strategy = pytest.mark.parametrize(
    "strategy", BUILT_IN, ids=lambda strategy: strategy.name
)


def graph_of(strategy: Strategy) -> CompiledStateGraph[Any, Any, Any, Any]:
    graph = import_module(f"graphs.{strategy.name}").graph
    assert isinstance(graph, CompiledStateGraph)
    return graph


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of models stand for scripted ones here."""
    policies = {
        "tinymath": TreePolicy(random_language(1)),
        "tinymath-large": TreePolicy(random_language(3)),
        "other": TreePolicy(random_language(2)),
    }
    prms = {"tinymath": TreePrm(), "other": TreePrm(lambda prefix: 1 / len(prefix))}
    monkeypatch.setattr("langchain_tts.policies._resolved", policies)
    monkeypatch.setattr("langchain_tts.rewards.resolve_prm", prms.__getitem__)


@each_strategy
def test_langgraph_json_lists_every_strategy(strategy: Strategy) -> None:
    assert CONFIG["graphs"][strategy.name] == {
        "path": f"graphs.{strategy.name}:graph",
        "description": strategy.summary,
    }


def test_langgraph_json_lists_nothing_else() -> None:
    assert set(CONFIG["graphs"]) <= {strategy.name for strategy in BUILT_IN}


@each_strategy
def test_a_graph_has_its_strategys_nodes_and_saves_nothing_itself(
    strategy: Strategy,
) -> None:
    graph = graph_of(strategy)
    drawn = strategy.build().compile().get_graph().draw_mermaid()
    assert graph.name == strategy.name
    assert graph.get_graph().draw_mermaid() == drawn
    assert graph.checkpointer is None


def test_importing_the_graphs_loads_no_engine() -> None:
    modules = ", ".join(f"graphs.{strategy.name}" for strategy in BUILT_IN)
    code = (
        f"import sys, {modules};"
        "print([m for m in ('torch', 'transformers', 'vllm') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout.strip() == "[]"


@each_strategy
def test_a_form_has_a_type_a_default_and_a_text_for_every_parameter(
    strategy: Strategy,
) -> None:
    schema = graph_of(strategy).get_context_jsonschema()
    assert schema is not None
    properties = schema["properties"]
    # What an application sets, not a person.
    hidden = {"turn", "api_key"}
    names = [field.name for field in fields(SearchContext)]
    assert list(properties) == [name for name in names if name not in hidden]
    for field in properties.values():
        assert {"type", "anyOf", "$ref"} & set(field)
        assert "default" in field
        assert field["description"].endswith(".")


def test_a_form_names_models_and_lists_choices() -> None:
    schema = graph_of(BUILT_IN[0]).get_context_jsonschema()
    assert schema is not None
    properties = schema["properties"]
    assert properties["policy"]["type"] == "string"
    assert properties["prm"]["anyOf"] == [{"type": "string"}, {"type": "null"}]
    assert properties["score"]["enum"] == ["min", "last", "avg", "prod"]
    assert properties["vote"]["enum"] == ["majority", "max", "vote"]
    assert properties["ending"]["enum"] == ["N", "N/M"]
    assert properties["early_stop"]["enum"] == ["off", "certain", "confident"]
    assert properties["beam_width"]["type"] == "integer"
    assert properties["temperature"]["type"] == "number"
    assert {"type": "boolean"} in properties["lockstep"]["anyOf"]
    assert (
        properties["beam_width"]["description"]
        == "M, how many children each kept candidate gets."
    )


def test_a_form_has_the_limits_of_a_budget() -> None:
    schema = graph_of(BUILT_IN[0]).get_context_jsonschema()
    assert schema is not None
    assert schema["properties"]["budget"]["$ref"] == "#/$defs/Budget"
    limits = schema["$defs"]["Budget"]["properties"]
    assert list(limits) == ["samples", "tokens", "flops", "seconds"]
    assert limits["samples"] == {
        "type": "integer",
        "default": 16,
        "title": "Samples",
        "description": "N, the number of candidates that the strategy works with.",
    }
    for name, kind in (("tokens", "integer"), ("flops", "number")):
        assert limits[name]["anyOf"] == [{"type": kind}, {"type": "null"}]
        assert limits[name]["default"] is None
        assert limits[name]["description"]


def test_an_untouched_form_is_the_default_context() -> None:
    schema = graph_of(BUILT_IN[0]).get_context_jsonschema()
    assert schema is not None
    form = {name: field["default"] for name, field in schema["properties"].items()}
    context = SearchContext(**json.loads(json.dumps(form)))
    budget = Budget.parse(context.budget)
    assert replace(context, budget=budget) == SearchContext()


@each_strategy
def test_the_input_is_a_conversation_and_a_seed(strategy: Strategy) -> None:
    schema = graph_of(strategy).get_input_jsonschema()
    assert set(schema["properties"]) == {"messages", "seed"}
    assert schema["properties"]["messages"]["type"] == "array"
    assert schema["properties"]["seed"]["type"] == "integer"
    message = schema["$defs"]["Message"]["properties"]
    assert message["role"]["enum"] == ["system", "user", "assistant", "tool"]


@pytest.mark.usefixtures("models")
@each_strategy
async def test_a_graph_runs_without_a_context(strategy: Strategy) -> None:
    question = {"messages": QUESTION, "seed": 3}
    state = await graph_of(strategy).ainvoke(question)
    whole = solve(QUESTION, strategy=strategy.name, context=SearchContext(), seed=3)
    assert state["tree"] == whole["tree"]
    assert state["result"]["answer"] == whole["answer"]


@pytest.mark.usefixtures("models")
@each_strategy
async def test_a_graph_takes_models_budget_and_parameters_from_json(
    strategy: Strategy,
) -> None:
    form = {
        "policy": "other",
        "prm": "other",
        "budget": {"samples": 6, "tokens": 500},
        "beam_width": 2,
        "score": "min",
        "vote": "vote",
    }
    state = await graph_of(strategy).ainvoke(
        {"messages": QUESTION, "seed": 3}, context=form
    )
    context = SearchContext(
        policy=TreePolicy(random_language(2)),
        prm=TreePrm(lambda prefix: 1 / len(prefix)),
        budget=Budget(6, tokens=500),
        beam_width=2,
        score="min",
        vote="vote",
    )
    whole = solve(QUESTION, strategy=strategy.name, context=context, seed=3)
    assert state["tree"] == whole["tree"]
    assert state["result"]["budget"] == context.budget.to_dict()
    assert state["result"]["candidates"] == whole["candidates"]
