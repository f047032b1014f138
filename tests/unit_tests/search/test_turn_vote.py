"""Votes over turns, by hand."""

from __future__ import annotations

import pytest

from langchain_tts.search.turn_vote import COMPOSED
from langchain_tts.strategies._turns import Turns
from tests.unit_tests.search.turn_cases import (
    BROKEN,
    ONE,
    OSLO,
    PERSON,
    ROME,
    TWO,
    VOTES,
    counts,
    finals_of,
    voted,
)
from tests.unit_tests.turn_models import asked, call, calls, raw, rule, tool


def test_calls_are_equal_whatever_the_order_of_calls_and_keys() -> None:
    found = voted(
        [
            ROME,
            calls(call("add", x=1, y=2), ROME, content="Both at once."),
            calls(ROME, raw('{"arguments": {"y": 2.0, "x": 1.0}, "name": "add"}')),
            ROME + ROME,
        ]
    )
    assert found.winner == 1
    assert counts(found.rows) == [
        (
            (
                '[{"name": "add", "arguments": {"x": 1, "y": 2}}, '
                '{"name": "find", "arguments": {"city": "Rome"}}]'
            ),
            2,
        ),
        ('[{"name": "find", "arguments": {"city": "Rome"}}]', 1),
        # The same call twice is another turn than once.
        (
            (
                '[{"name": "find", "arguments": {"city": "Rome"}}, '
                '{"name": "find", "arguments": {"city": "Rome"}}]'
            ),
            1,
        ),
    ]


def test_values_of_other_types_are_other_arguments() -> None:
    turns = [call("add", x=value) for value in (1, 1.0, True, "1", [1])]
    assert [count for _, count in counts(voted(turns).rows)] == [2, 1, 1, 1]


@pytest.mark.parametrize("ignored", [["note"], ["find.note"]])
def test_ignored_arguments_do_not_count(ignored: list[str]) -> None:
    turns = [
        call("find", city="Oslo", note="a"),
        call("find", city="Rome", note="b"),
        call("find", city="Rome", note="c"),
        call("find", city="Rome"),
    ]
    assert voted(turns).winner == 0
    found = voted(turns, turn=rule(ignored=ignored))
    assert found.winner == 1
    assert counts(found.rows)[0] == (
        '[{"name": "find", "arguments": {"city": "Rome"}}]',
        3,
    )


def test_what_is_ignored_of_one_tool_counts_for_another() -> None:
    tools = [tool("a"), tool("b")]
    turns = [call(name, x=x) for name in "ab" for x in (1, 2)]
    found = voted(turns, turn=rule(ignored=["a.x"]), tools=tools)
    assert sorted(count for _, count in counts(found.rows)) == [1, 1, 2]


def test_calls_or_text_is_decided_by_most_turns_before_anything_else() -> None:
    texts = ["The answer is 1.", "The answer is 2.", "The answer is 3."]
    turns = [ONE, ONE, *texts]
    # No text was given twice, but three of five turns are texts.
    assert voted(turns).winner == 2
    assert [count for _, count in counts(voted(turns).rows)] == [1, 1, 1, 2]
    # Whatever the scores of calls: they decide among texts only.
    scores = [1.0, 1.0, 0.1, 0.3, 0.2]
    for vote in VOTES:
        assert voted(turns, scores, vote).winner == 3


def test_of_equally_many_kinds_the_best_score_decides_then_the_order() -> None:
    turns = ["Hello", ONE, "Hello", ONE]
    assert voted(turns).winner == 0
    assert voted(turns[1:] + turns[:1]).winner == 0
    for vote in VOTES:
        assert voted(turns, [0.5, 0.1, 0.5, 0.6], vote).winner == 3
        assert voted(turns, [0.7, 0.1, 0.2, 0.6], vote).winner == 0


def test_scores_decide_among_the_turns_of_the_kind() -> None:
    turns = [ONE, ONE, TWO, ROME]
    scores = [0.4, 0.3, 0.6, 0.5]
    assert voted(turns, scores, "majority").winner == 0
    assert voted(turns, scores, "max").winner == 2
    found = voted(turns, scores, "vote")
    assert found.winner == 0
    assert [row["weight"] for row in found.rows] == [0.7, 0.6, 0.5]


def test_by_name_decides_the_tools_before_their_arguments() -> None:
    turns = [OSLO, OSLO, ONE, TWO, call("add", x=3)]
    assert voted(turns).winner == 0
    found = voted(turns, turn=rule(vote="by_name"))
    assert found.winner == 2
    assert [count for _, count in counts(found.rows)] == [1, 1, 1, 2]
    # The names of a turn are a set: two calls are other names than one.
    pairs = [calls(ONE, ROME), calls(ROME, TWO), calls(OSLO, TWO), OSLO, OSLO]
    assert voted(pairs, turn=rule(vote="by_name")).winner == 0
    scores = [0.1, 0.1, 0.9, 0.5, 0.5]
    assert voted(pairs, scores, "max", rule(vote="by_name")).winner == 2
    # Sums of scores: find has 1.2, the pairs 1.1.
    scores = [0.1, 0.1, 0.9, 0.6, 0.6]
    assert voted(pairs, scores, "vote", rule(vote="by_name")).winner == 3


def test_texts_are_equal_by_their_answers_or_as_they_are_written() -> None:
    texts = [
        r"So it is \boxed{0.5}.",
        "I do not know.",
        r"Half of it: \boxed{1/2}",
        " I do not know.\n",
        "I do not know!",
        "The answer is 0.50.",
    ]
    found = voted(texts)
    assert found.winner == 0
    assert counts(found.rows) == [
        ("0.5", 3),
        ("I do not know.", 2),
        ("I do not know!", 1),
    ]


def test_a_text_without_an_answer_can_win() -> None:
    assert voted(["Rome is warm.", "The answer is 5.", "Rome is warm."]).winner == 0


def test_answers_by_a_schema_are_equal_as_values() -> None:
    found = voted(
        [
            '{"name": "Bob", "age": 36, "why": "a"}',
            '{"name": "Ada", "age": 36, "why": "b"}',
            '```json\n{"age": 36.0, "name": "Ada", "why": "c"}\n```',
            '{"name": "Ada"}',
            '{"name": "Ada"}',
        ],
        turn=rule(schema=PERSON, ignored=["why"]),
    )
    assert found.winner == 1
    assert counts(found.rows) == [
        ('{"age": 36, "name": "Ada"}', 2),
        ('{"age": 36, "name": "Bob"}', 1),
    ]
    [note] = found.notes
    assert note == (
        "2 of 5 turns are invalid and did not vote, for example: field 'age' is missing"
    )


def test_by_field_each_field_is_voted_for_itself() -> None:
    answers = [
        '{"name": "Ada", "age": 35, "why": "old"}',
        '{"age": 36, "name": "Ida"}',
        '{"name": "Ada", "age": 36.0, "why": "new"}',
        '{"name": "Bob", "age": 35, "why": "new"}',
        '{"name": "Eve", "age": 36}',
    ]
    found = voted(answers, turn=rule(schema=PERSON, vote="by_field"))
    # name: Ada 2, the others 1. age: 36 3, 35 2. why: "new" 2 and nothing 2, of which
    # a turn without one was sampled first.
    # Three turns have two of these; the first of them is the base.
    assert found.winner == 1
    assert found.text == '{"age": 36, "name": "Ada"}'
    assert found.answer == '{"age": 36, "name": "Ada"}'
    assert list(found.notes) == [COMPOSED]
    assert counts(found.rows) == [
        ('name: "Ada"', 2),
        ('name: "Ida"', 1),
        ('name: "Bob"', 1),
        ('name: "Eve"', 1),
        ("age: 36", 3),
        ("age: 35", 2),
        ("why: left out", 2),
        ('why: "new"', 2),
        ('why: "old"', 1),
    ]


def test_by_field_scores_weigh_the_values() -> None:
    answers = [
        '{"name": "Ada", "age": 35}',
        '{"name": "Bob", "age": 36}',
        '{"name": "Ada", "age": 37}',
    ]
    turn = rule(schema=PERSON, vote="by_field")
    best = voted(answers, [0.1, 0.3, 0.2], "max", turn)
    assert (best.winner, best.text, list(best.notes)) == (1, None, [])
    # Sums: Ada 0.5, Bob 0.4; ages 0.2, 0.4, 0.3.
    summed = voted(answers, [0.2, 0.4, 0.3], "vote", turn)
    assert summed.text == '{"name": "Ada", "age": 36}'
    # Each of the first two has one of the winning values; the second is the better.
    assert summed.winner == 1


def test_by_field_a_turn_that_was_sampled_is_not_composed() -> None:
    answers = ['{"name": "Ada", "age": 1}', '{"name": "Bob", "age": 2}']
    turn = rule(schema=PERSON, vote="by_field")
    found = voted([*answers, '{"age": 2, "name": "Bob"}'], turn=turn)
    assert (found.winner, found.text) == (1, None)
    assert list(found.notes) == []


def test_by_field_the_arguments_of_one_call_are_voted_for_themselves() -> None:
    turns = [
        calls(call("find", city="Rome", unit="K", note="a"), content="Let me see."),
        call("find", city="Oslo", unit="C", note="b"),
        call("find", city="Rome", unit="F", note="c"),
        call("find", city="Bari", unit="C", note="d"),
    ]
    found = voted(turns, turn=rule(vote="by_field", ignored=["find.note"]))
    assert {row["answer"].partition(":")[0] for row in found.rows} == {"city", "unit"}
    # Rome and C: no turn has both. The first that has one of them is the base, whose
    # note stays.
    assert found.winner == 0
    assert found.text == calls(
        call("find", city="Rome", unit="C", note="a"), content="Let me see."
    )
    assert found.answer == (
        '[{"name": "find", "arguments": {"city": "Rome", "unit": "C"}}]'
    )


@pytest.mark.parametrize(
    ("turns", "why"),
    [
        ([ONE, ROME, ROME], "not all of them make one call of one tool"),
        ([calls(ONE, ROME), ROME, ROME], "not all of them make one call of one tool"),
        ([calls(ROME, ROME), calls(ROME, ROME)], "not all of them make one call"),
    ],
)
def test_by_field_other_calls_are_voted_on_as_wholes(
    turns: list[str], why: str
) -> None:
    found = voted(turns, turn=rule(vote="by_field"))
    assert found.winner == len(turns) - 2
    assert found.text is None
    [note] = found.notes
    assert note.startswith("turns were voted on as wholes, not by their fields: ")
    assert why in note


def test_by_field_the_turns_of_the_other_kind_do_not_matter() -> None:
    turns = [ROME, OSLO, ROME, "Hello", calls(ONE, ONE)[:-5]]
    found = voted(turns, turn=rule(vote="by_field"))
    assert found.winner == 0
    assert counts(found.rows) == [('city: "Rome"', 2), ('city: "Oslo"', 1)]


def test_by_field_texts_have_none_and_nothing_is_said_of_it() -> None:
    for turns in (["a", "b", "b"], [call("now", _=1), raw('{"name": "now"}')] * 2):
        found = voted(turns, turn=rule(vote="by_field", ignored=["_"]), tools=NOW)
        assert found.winner in {0, 1}
        assert list(found.notes) == []


NOW = [tool("now")]


def test_by_field_what_is_composed_has_to_be_valid() -> None:
    schema = {
        "type": "object",
        "oneOf": [
            {"properties": {"city": {"const": "Rome"}, "country": {"const": "Italy"}}},
            {"properties": {"city": {"const": "Oslo"}, "country": {"const": "Norway"}}},
            {"properties": {"city": {"const": "Rome"}, "country": {"const": "USA"}}},
        ],
    }
    rome = '{"city": "Rome", "country": "Italy"}'
    usa = '{"city": "Rome", "country": "USA"}'
    oslo = '{"city": "Oslo", "country": "Norway"}'
    found = voted([rome, usa, oslo, oslo], turn=rule(schema=schema, vote="by_field"))
    # Rome 2 (first), Norway 2: no such place.
    assert found.winner == 2
    assert found.text is None
    assert counts(found.rows)[0] == ('{"city": "Oslo", "country": "Norway"}', 2)
    [note] = found.notes
    assert note.startswith(
        "turns were voted on as wholes, not by their fields: composed of these, it "
        "could not be used: field "
    )


@pytest.mark.parametrize("broken", BROKEN)
def test_one_valid_turn_wins_over_any_number_of_invalid_ones(broken: str) -> None:
    for valid in (ONE, "Hello"):
        for vote in VOTES:
            scores = [0.9] * 5 + [0.1] + [0.9] * 4
            found = voted([broken] * 5 + [valid] + [broken] * 4, scores, vote)
            assert found.winner == 5
            assert [row["count"] for row in found.rows] == [1]
            [note] = found.notes
            assert note.startswith("9 of 10 turns are invalid and did not vote, for ")


def test_invalid_turns_do_not_count_where_the_kind_is_decided() -> None:
    assert voted([*BROKEN[:3], ONE, "Hello", "Hello"]).winner == 4


def test_without_a_valid_turn_nobody_wins() -> None:
    found = voted(BROKEN, [0.1, 0.2, 0.3, 0.4], "max")
    assert found.winner is None
    assert found.rows == []
    [note] = found.notes
    assert note.startswith("no valid turn (of 4), the best one is given as it is; ")
    assert "the call is no JSON" in note


def test_cut_and_failed_turns_never_vote() -> None:
    finals = finals_of([ONE, ONE, TWO])
    finals[0]["status"] = finals[1]["status"] = "truncated"
    finals += [{**final, "id": 3} for final in finals_of([ONE])]
    turns = Turns.of(finals, asked(), rule())
    assert [final["answer"] is None for final in turns.finals] == [
        True,
        True,
        False,
        False,
    ]
    assert turns.tallies() == [[2], [1, 1]]
    found = turns.decide("majority")
    assert found.winner == 2
    assert list(found.notes) == []


def test_what_is_broken_about_a_tool_is_said_once() -> None:
    odd = tool("odd")
    odd["function"]["parameters"] = {"$ref": "#/nowhere"}
    found = voted([call("odd", a=1)] * 2 + [call("odd", a=2)], tools=[odd])
    assert found.winner == 0
    [note] = found.notes
    assert note.startswith("arguments of tool 'odd' were not checked")


@pytest.mark.parametrize("noise", [1e-7, 0.0, -1e-7])
def test_by_field_of_equally_good_bases_the_first_is_taken(noise: float) -> None:
    answers = [
        '{"name": "Ada", "age": 35}',
        '{"name": "Bob", "age": 36}',
        '{"name": "Ada", "age": 36, "why": "new"}',
    ]
    turn = rule(schema=PERSON, vote="by_field")
    # Ada, 36 and no reason win; each of the turns has two of the three.
    found = voted(answers, [0.5, 0.5 + noise, 0.5], "vote", turn)
    assert found.text == '{"name": "Ada", "age": 36}'
    assert found.winner == 0
