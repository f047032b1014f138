"""The parts of the speed benchmarks that no engine is needed for."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from benchmarks.concurrency import searches_at
from benchmarks.engine_limit import longest_steps, shares
from benchmarks.measuring import interleaved, question, ratio
from benchmarks.plain_search import Beam, PlainPrm, search, tagged
from benchmarks.prm_incremental import (
    Shape,
    distinct_tokens,
    grow,
    with_transformers,
)
from benchmarks.random_models import SIZES, SMALLEST, save_policy, save_prm
from benchmarks.raw_engine import read_ids
from langchain_tts.budget import Budget
from langchain_tts.engines.tokens import load_tokenizer
from langchain_tts.policies import resolve_policy
from langchain_tts.rewards import resolve_prm
from langchain_tts.rewards.base import ScoreRequest
from langchain_tts.rewards.formats import TagFormat
from langchain_tts.search.state import Message, SearchResult
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import solve

END = 1
DELIMITER = 263


@pytest.fixture(scope="module")
def prm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_prm(tmp_path_factory.mktemp("prm"), SIZES[SMALLEST])


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, prm_folder: Path) -> SearchResult:
    folder = save_policy(tmp_path_factory.mktemp("policy"), SIZES[SMALLEST])
    context = SearchContext(
        policy=resolve_policy(f"transformers:{folder}"),
        prm=resolve_prm(f"transformers:{prm_folder}"),
        budget=Budget(8),
        temperature=1.0,
    )
    return solve(question(1), context=context, seed=1)


def test_the_random_policy_writes_steps_of_usual_length(result: SearchResult) -> None:
    steps = [c for c in result["tree"] if c["finish_reason"] == "step"]
    lengths = [len(step["token_ids"]) for step in steps]
    assert min(lengths) >= 21
    assert max(lengths) < 80
    assert 24 < sum(lengths) / len(lengths) < 30
    assert all(step["token_ids"][-1] == DELIMITER for step in steps)


def test_the_random_policy_answers_after_ten_steps(result: SearchResult) -> None:
    ends = [c for c in result["tree"] if c["status"] == "finished"]
    assert len(ends) == 8
    assert min(end["depth"] for end in ends) > 10
    assert all(end["text"].startswith(r"Answer: \boxed{") for end in ends)
    assert all(end["token_ids"][-1] == END for end in ends)
    assert result["answer"] in list("0123456789")


def test_text_and_tokens_of_the_random_policy_say_the_same(
    result: SearchResult, prm_folder: Path
) -> None:
    tokens, _ = load_tokenizer(prm_folder)
    for step in result["tree"]:
        ending = "" if step["status"] == "finished" else "\n\n"
        ids = tokens.encode(step["text"] + ending)
        assert ids == [i for i in step["token_ids"] if i != END]


def test_the_plain_loop_reads_the_scores_that_the_library_reads(
    prm_folder: Path,
) -> None:
    messages = question(2)
    beams = [
        Beam(" a number.\n\n"),
        Beam(" a number.\n\n the next one\n\n"),
        Beam(" a number.\n\n" + r"Answer: \boxed{7}", done=True),
    ]
    prm = resolve_prm(f"transformers:{prm_folder}")
    assert prm is not None
    plain = PlainPrm(prm_folder)
    tokenize = plain.tokenizer.encode
    expected = [
        prm.invoke(
            [
                ScoreRequest(
                    messages=messages,
                    steps=beam.steps,
                    token_ids=[
                        tokenize(text + ending)
                        for text, ending in zip(beam.steps, endings, strict=True)
                    ],
                    logprobs=[0.0] * len(beam.steps),
                    new=1,
                )
            ]
        )[0]["scores"][0]
        for beam, endings in zip(
            beams, [["\n\n"], ["\n\n", "\n\n"], ["\n\n", "<|end|>"]], strict=True
        )
    ]
    assert plain(messages, beams) == pytest.approx(expected, abs=1e-5)
    assert len(set(expected)) == 3


def test_the_plain_loop_marks_each_step() -> None:
    assert tagged(Beam("a\n\nb\n\n")) == "a\n\n<|step|>b\n\n<|step|>"
    assert tagged(Beam("a\n\nb", done=True)) == "a\n\n<|step|>b<|end|><|step|>"


def test_the_plain_loop_keeps_the_best_and_gives_answers_their_places() -> None:
    asked: list[list[str]] = []

    def continued(_messages: list[Message], beams: object) -> list[Beam]:
        assert isinstance(beams, list)
        asked.append([beam.text for beam in beams])
        places = range(len(beams))
        if len(asked) == 1:
            return [Beam(f"{place}\n\n") for place in places]
        # The first beam of all answers, the others go on.
        return [Beam(beams[i].text + f"{i}\n\n", done=i == 0) for i in places]

    def scored(_messages: list[Message], beams: object) -> list[float]:
        assert isinstance(beams, list)
        return [float(int(beam.steps[-1])) for beam in beams]

    rounds = search(question(3), continued, scored, samples=4, width=2)
    # Of 0-3 the best two are kept, twice each; one answers, so there are 3 places and
    # one beam; and so on to the last place.
    assert asked == [
        [""] * 4,
        ["3\n\n", "2\n\n", "3\n\n", "2\n\n"],
        ["2\n\n3\n\n"] * 3,
        ["2\n\n3\n\n2\n\n"] * 2,
        ["2\n\n3\n\n2\n\n1\n\n"],
    ]
    assert [len(beams) for beams in rounds] == [4, 4, 3, 2, 1]


def test_ways_are_measured_in_turn() -> None:
    order: list[str] = []
    ways = {
        name: lambda number, name=name: order.append(f"{name}{number}")
        for name in ("a", "b")
    }
    interleaved(ways, 2)
    assert order == ["a0", "b0", "a1", "b1"]


def test_a_ratio_is_the_median_of_each_repetitions_ratio() -> None:
    # 2, 1, 4: not the ratio of the medians, which is 2 / 1.
    assert ratio([2.0, 1.0, 40.0], [1.0, 1.0, 10.0]) == 2.0


def test_questions_differ_in_nothing_but_a_number_of_two_digits() -> None:
    texts = {question(number)[0]["content"] for number in range(90)}
    assert len(texts) == 90
    assert len({len(text) for text in texts}) == 1


def test_the_minimum_is_every_token_of_a_tree_once() -> None:
    # 1 - 2 - 3
    #      \- 4 - 5
    # 2 - 3
    readings = [[1, 2, 3], [1, 2, 4], [1, 2, 4, 5], [1, 2, 4, 5], [2, 3]]
    assert distinct_tokens(readings) == 7


def test_a_grown_tree_has_as_many_beams_as_a_search(prm_folder: Path) -> None:
    tokens, _ = load_tokenizer(prm_folder)
    shape = Shape(samples=8, width=4, step_tokens=30)
    rounds = grow(0, 3, shape, tokens)
    assert [len(requests) for requests in rounds] == [8, 8, 8]
    assert [len(request["steps"]) for request in rounds[2]] == [3] * 8
    parents = {tuple(request["steps"][:2]) for request in rounds[2]}
    assert len(parents) == 2
    assert parents <= {tuple(request["steps"]) for request in rounds[1]}
    steps = [step for request in rounds[2] for step in request["token_ids"]]
    assert all(20 <= len(step) <= 40 and step[-1] == DELIMITER for step in steps)


def test_what_a_verifier_reads_has_a_tag_after_each_step(prm_folder: Path) -> None:
    tokens, _ = load_tokenizer(prm_folder)
    tag, question_ids = tokens.token_id("<|step|>"), tokens.chat_ids(question(0))
    request = ScoreRequest(
        messages=question(0),
        steps=[" a", " the"],
        token_ids=[[300, DELIMITER], [301, DELIMITER]],
        logprobs=[0.0, 0.0],
        new=1,
    )
    assert read_ids(request, TagFormat(), tokens) == [
        *question_ids,
        *(300, DELIMITER, tag),
        *(301, DELIMITER, tag),
    ]


def test_the_incremental_verifier_computes_the_minimum(tmp_path: Path) -> None:
    # A model of its own, which has seen nothing.
    bench = with_transformers(save_prm(tmp_path, SIZES[SMALLEST]))
    shape = Shape(samples=4, width=2, step_tokens=9)
    cost = bench.incremental(3, shape, 0)
    assert cost.tokens == cost.minimum
    again = bench.again(3, shape, 0)
    assert again.minimum == cost.minimum
    # Of steps of 6 to 12 tokens and a tag: 4 once, 4 twice, 4 three times.
    assert again.tokens > 1.5 * cost.minimum


def test_the_floor_generates_exactly_as_many_tokens() -> None:
    assert shares(11, 4) == [3, 3, 3, 2]
    assert sum(shares(19_001, 64)) == 19_001


def test_the_longest_step_of_each_round_decides_how_long_it_takes() -> None:
    tree = [
        {"depth": depth, "token_ids": [7] * tokens}
        for depth, tokens in [(1, 5), (1, 9), (2, 3), (2, 2)]
    ]
    assert longest_steps(cast("SearchResult", {"tree": tree})) == [9, 3]


def test_few_places_run_several_searches_each() -> None:
    assert [searches_at(level) for level in (1, 16, 64)] == [3, 48, 64]
