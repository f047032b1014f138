"""A user's own strategy: of a selection function, or a whole graph."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from langchain_tts import TTSChatModel
from langchain_tts.budget import Budget
from langchain_tts.search.select import beam_count, finished, keep_best, rank
from langchain_tts.search.state import Candidate, Message, SearchResult
from langchain_tts.strategies import (
    STRATEGIES,
    Selection,
    Strategy,
    StrategyError,
    UnknownStrategyError,
    get_strategy,
    register_strategy,
    step_strategy,
)
from langchain_tts.strategies._own import Chooser
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import solve
from tests.unit_tests.fakes import (
    QUESTION,
    Continuation,
    TreePolicy,
    TreePrm,
    random_language,
)

SIZES = [(1, 4), (2, 1), (5, 2), (7, 3), (8, 4), (16, 4)]
"""N and M; divisible and not, N below M among them."""


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """What a test registers is forgotten after it."""
    before = dict(STRATEGIES)
    yield
    STRATEGIES.clear()
    STRATEGIES.update(before)


def context(n: int = 8, m: int = 4, seed: int = 1, **parameters: Any) -> SearchContext:
    return SearchContext(
        policy=TreePolicy(random_language(seed)),
        prm=TreePrm(),
        budget=Budget(n),
        beam_width=m,
        **parameters,
    )


def search(choose: Chooser, setting: SearchContext, seed: int = 5) -> SearchResult:
    register_strategy(step_strategy("mine", "a test's", choose))
    try:
        return solve(QUESTION, strategy="mine", context=setting, seed=seed)
    finally:
        del STRATEGIES["mine"]


def children(tree: Sequence[Candidate]) -> Counter[int | None]:
    return Counter(candidate["parent"] for candidate in tree)


@pytest.mark.parametrize(("n", "m"), SIZES)
@pytest.mark.parametrize("seed", range(4))
def test_the_selection_of_beam_search_makes_beam_search(
    n: int, m: int, seed: int
) -> None:
    mine = search(keep_best, context(n, m, seed))
    whole = solve(QUESTION, strategy="beam_search", context=context(n, m, seed), seed=5)
    assert mine["tree"] == whole["tree"]
    assert mine["candidates"] == whole["candidates"]
    assert mine["strategy"] == "mine"


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_a_selection_that_keeps_all_it_may_stays_in_the_budget(n: int, m: int) -> None:
    def everything(
        _tree: Sequence[Candidate], proposed: Sequence[int], _places: int, _width: int
    ) -> Selection:
        return Selection([*proposed, *proposed], [])

    result = search(everything, context(n, m))
    assert len(result["candidates"]) <= n
    assert result["spent"]["samples"] == len(finished(result["tree"])) <= n
    assert not [
        candidate
        for candidate in result["tree"]
        if candidate["parent"] is not None
        and result["tree"][candidate["parent"]]["status"] != "active"
    ]


def test_choose_is_asked_about_steps_that_can_be_continued_and_only_then() -> None:
    def language(_prefix: tuple[str, ...]) -> list[Continuation]:
        return [
            Continuation("go on", 0.5),
            Continuation(" ", 0.2),
            Continuation(r"\boxed{1}", 0.3, ends=True),
        ]

    asked: list[tuple[int, int]] = []

    def choose(
        tree: Sequence[Candidate], proposed: Sequence[int], places: int, width: int
    ) -> Selection:
        assert {tree[i]["status"] for i in proposed} == {"active"}
        assert {tree[i]["text"] for i in proposed} == {"go on"}
        assert places == 8 - len(finished(tree))
        asked.append((places, width))
        return keep_best(tree, proposed, places, width)

    policy = TreePolicy(language)
    setting = SearchContext(policy=policy, prm=TreePrm(), budget=Budget(8))
    tree = search(choose, setting)["tree"]
    assert asked
    assert all(1 <= places <= 8 and width == 4 for places, width in asked)
    assert {c["status"] for c in tree if not c["text"].strip()} == {"pruned"}


def test_a_search_without_a_step_to_continue_ends_without_being_asked() -> None:
    def language(_prefix: tuple[str, ...]) -> list[Continuation]:
        return [Continuation(" ", 0.5), Continuation(r"\boxed{1}", 0.5, ends=True)]

    def never(*_: object) -> Selection:
        raise AssertionError

    policy = TreePolicy(language)
    setting = SearchContext(policy=policy, prm=TreePrm(), budget=Budget(8))
    result = search(never, setting)
    assert result["answer"] == "1"
    assert {c["status"] for c in result["tree"]} == {"finished", "pruned"}


def test_beams_share_the_places_and_one_kept_twice_gets_two_shares() -> None:
    def first_twice(
        _tree: Sequence[Candidate], proposed: Sequence[int], _places: int, _width: int
    ) -> Selection:
        first, second, *others = proposed
        return Selection([first, second, first], others)

    def language(prefix: tuple[str, ...]) -> list[Continuation]:
        return [Continuation("step", 1.0, ends=len(prefix) == 1)]

    setting = SearchContext(
        policy=TreePolicy(language), prm=TreePrm(), budget=Budget(8)
    )
    tree = search(first_twice, setting)["tree"]
    # 8 places over 3 shares: 3, 3 and 2; the first one's are 3 + 2.
    assert children(tree) == {None: 8, 0: 5, 1: 3}
    assert [tree[i]["status"] for i in range(8)] == ["active"] * 2 + ["pruned"] * 6


def test_what_is_kept_beyond_the_places_is_pruned() -> None:
    def language(prefix: tuple[str, ...]) -> list[Continuation]:
        return [Continuation("step", 1.0, ends=len(prefix) == 1)]

    def first_above_all(
        _tree: Sequence[Candidate], proposed: Sequence[int], places: int, _width: int
    ) -> Selection:
        return Selection([proposed[0]] * (places - 1) + list(proposed[1:]), [])

    setting = SearchContext(
        policy=TreePolicy(language), prm=TreePrm(), budget=Budget(8)
    )
    tree = search(first_above_all, setting)["tree"]
    assert children(tree) == {None: 8, 0: 7, 1: 1}
    assert [tree[i]["status"] for i in range(8)] == ["active"] * 2 + ["pruned"] * 6


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection([99], []), r"'mine' keeps candidate 99.*keep ids of `proposed`"),
        (Selection([-1], []), "keeps candidate -1"),
        (Selection([0], [0]), r"'mine' prunes candidate 0.*is kept or not active"),
        (Selection([], [99]), "prunes candidate 99"),
    ],
)
def test_a_selection_that_cannot_be_is_refused(
    selection: Selection, message: str
) -> None:
    def choose(*_: object) -> Selection:
        return selection

    with pytest.raises(StrategyError, match=message):
        search(choose, context(4))


def test_an_answer_can_be_neither_continued_nor_pruned() -> None:
    def language(_prefix: tuple[str, ...]) -> list[Continuation]:
        return [Continuation("step", 0.5), Continuation("end", 0.5, ends=True)]

    policy = TreePolicy(language)
    setting = SearchContext(policy=policy, prm=TreePrm(), budget=Budget(16))

    def keep_an_answer(
        tree: Sequence[Candidate], _proposed: Sequence[int], *_: int
    ) -> Selection:
        return Selection(finished(tree)[:1], [])

    def prune_an_answer(
        tree: Sequence[Candidate], proposed: Sequence[int], *_: int
    ) -> Selection:
        return Selection([proposed[0]], finished(tree)[:1])

    with pytest.raises(StrategyError, match="keeps candidate"):
        search(keep_an_answer, setting)
    with pytest.raises(StrategyError, match="prunes candidate"):
        search(prune_an_answer, setting)


def test_making_a_strategy_loads_neither_langgraph_nor_an_engine() -> None:
    code = (
        "import sys; from langchain_tts import register_strategy, step_strategy;"
        "from langchain_tts.search.select import keep_best;"
        "register_strategy(step_strategy('mine', 'a test\\'s', keep_best));"
        "print([m for m in ('langgraph', 'torch', 'transformers') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


# The examples.


def example(name: str) -> Any:
    module = import_module(f"examples.{name}")
    register_strategy(module.strategy)
    return module


def a_tree(*records: tuple[int | None, float]) -> list[Candidate]:
    """Steps by parent and score."""
    return [
        Candidate(
            id=place,
            parent=parent,
            depth=1 if parent is None else 2,
            seed=place,
            text="step",
            token_ids=[1],
            logprob=-1.0,
            score=score,
            status="active",
            finish_reason="step",
        )
        for place, (parent, score) in enumerate(records)
    ]


def test_the_example_keeps_the_best_child_of_each_step() -> None:
    choose = example("my_strategy").only_children
    tree = a_tree(
        *((None, 0.5), (None, 0.6), (None, 0.7)),
        *((0, 0.9), (0, 0.8), (1, 0.2), (1, 0.3), (2, 0.1)),
    )
    assert choose(tree, [0, 1, 2], 8, 4) == ([2, 1], [0], {})
    assert choose(tree, [3, 4, 5, 6, 7], 8, 4) == ([3, 6], [4, 5, 7], {})
    assert choose(tree, [3, 4, 5, 6, 7], 8, 2) == ([3, 6, 7], [4, 5], {})
    assert choose(tree, [3, 4], 1, 4) == ([3], [4], {})


@pytest.mark.parametrize(("n", "m"), SIZES)
@pytest.mark.parametrize("seed", range(4))
def test_in_the_examples_search_no_two_siblings_are_continued(
    n: int, m: int, seed: int
) -> None:
    example("my_strategy")
    result = solve(
        QUESTION, strategy="only_children", context=context(n, m, seed), seed=5
    )
    tree = result["tree"]
    parents = {c["parent"] for c in tree if c["parent"] is not None}
    families = Counter(tree[i]["parent"] for i in parents)
    first_steps = families.pop(None, 0)
    assert first_steps <= beam_count(n, m)
    assert all(count == 1 for count in families.values())
    # Of each family it is the best one.
    for i in parents:
        family = [
            c["id"]
            for c in tree
            if c["parent"] == tree[i]["parent"] and c["status"] in {"active", "pruned"}
        ]
        if tree[i]["parent"] is not None:
            assert rank(tree, family)[0] == i
    assert len(result["candidates"]) <= n


@pytest.mark.parametrize(
    "name", ["only_children", "examples.my_strategy:strategy"], ids=["name", "module"]
)
def test_the_chat_model_takes_an_own_strategy(name: str) -> None:
    if ":" not in name:
        example("my_strategy")
    model = TTSChatModel(
        policy=TreePolicy(random_language(1)),
        prm=TreePrm(),
        strategy=name,
        budget=8,
        seed=5,
    )
    message = model.invoke(QUESTION[0]["content"])
    whole = solve(QUESTION, strategy="only_children", context=context(8), seed=5)
    assert message.response_metadata["tts"]["strategy"] == "only_children"
    assert message.text == whole["text"]
    other = model.invoke(QUESTION[0]["content"], strategy="beam_search")
    assert other.response_metadata["tts"]["strategy"] == "beam_search"
    again = model.bind(strategy=name).invoke(QUESTION[0]["content"])
    assert again.text == message.text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("guess", "unknown strategy 'guess'"),
        ("no_such_module:strategy", "cannot be imported"),
        ("examples.my_strategy:nothing", "cannot be imported"),
        ("examples.my_strategy:only_children", "is a function, not a Strategy"),
    ],
)
def test_the_chat_model_refuses_what_is_no_strategy(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TTSChatModel(strategy=name)
    with pytest.raises(UnknownStrategyError, match=message):
        get_strategy(name)


@pytest.mark.parametrize(
    ("question", "chosen"),
    [("What is 6 * 7?", "majority_vote"), ("What is " + "6 + " * 20, "beam_search")],
)
def test_the_example_graph_runs_the_search_that_it_chooses(
    question: str, chosen: str
) -> None:
    example("my_graph")
    messages = [Message(role="user", content=question)]
    routed = solve(messages, strategy="router", context=context(), seed=5)
    alone = solve(messages, strategy=chosen, context=context(), seed=5)
    assert routed["tree"] == alone["tree"]
    assert routed["answer"] == alone["answer"]
    assert routed["strategy"] == chosen
    spent, expected = dict(routed["spent"]), dict(alone["spent"])
    del spent["seconds"], expected["seconds"]
    assert spent == expected


def test_the_example_graph_can_be_stepped_through() -> None:
    strategy: Strategy = example("my_graph").strategy
    graph = strategy.build().compile(checkpointer=InMemorySaver(), interrupt_before="*")
    thread: Any = {"configurable": {"thread_id": "1"}}
    question: Any = {"messages": QUESTION, "seed": 5}
    graph.invoke(question, thread, context=context())
    assert graph.get_state(thread).next == ("majority_vote",)
    state = cast("dict[str, Any]", graph.invoke(None, thread, context=context()))
    alone = solve(QUESTION, strategy="majority_vote", context=context(), seed=5)
    assert state["tree"] == alone["tree"]


def test_the_example_prints_an_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    policies = {"tinymath": TreePolicy(random_language(1))}
    monkeypatch.setattr("langchain_tts.policies._resolved", policies)
    monkeypatch.setattr(
        "langchain_tts.rewards.resolve_prm", {"tinymath": TreePrm()}.__getitem__
    )
    assert example("my_strategy").main() == 0
    out = capsys.readouterr().out
    assert r"\boxed{" in out
    assert "only_children spent" in out


def test_every_example_of_a_strategy_is_found_by_its_module() -> None:
    root = Path(__file__).parents[2]
    for path in sorted((root / "examples").glob("my_*.py")):
        strategy = get_strategy(f"examples.{path.stem}:strategy")
        assert strategy.build().compile().get_graph().nodes
