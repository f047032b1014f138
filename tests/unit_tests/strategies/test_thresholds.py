"""Files of thresholds: which cascade they are for, and what they make it do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from langchain_tts.budget import Budget
from langchain_tts.search.cascade import VERSION, Figures, Thresholds
from langchain_tts.strategies._thresholds import (
    Rule,
    ThresholdsError,
    check_rule,
    rule_of,
)
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import solve
from tests.unit_tests.counting import CountingPolicy, KnowingPrm
from tests.unit_tests.fakes import QUESTION

FIGURES = Figures(n=2, accuracy=1.0, interval=(1.0, 1.0), flops=1.0, deferred=[0.5])
FILE = Thresholds(
    version=VERSION,
    policies=["counting", "large"],
    prm="knowing",
    dataset="tinymath/calibration",
    fingerprint="0" * 16,
    questions=2,
    samples=[4, 4],
    score="last",
    vote="max",
    trust="vote_share",
    defer_below=[0.3],
    target={"accuracy": 1.0},
    chosen=FIGURES,
    held_out=FIGURES,
)


def written(folder: Path, **changes: Any) -> str:
    path = folder / "cascade.json"
    path.write_text(json.dumps({**FILE, **changes}))
    return str(path)


def context_of(file: str, **changes: Any) -> SearchContext:
    settings: dict[str, Any] = {
        "policy": CountingPolicy(),
        "cascade": (CountingPolicy(name="large"),),
        "prm": KnowingPrm(),
        "budget": Budget(8),
        "cascade_file": file,
    }
    return SearchContext(**{**settings, **changes})


def test_a_file_says_what_is_trusted_and_from_where_on(tmp_path: Path) -> None:
    context = context_of(written(tmp_path))
    check_rule(context)
    assert rule_of(context) == Rule("vote_share", [0.3], [])


def test_without_a_file_one_number_holds_for_all() -> None:
    larger = (CountingPolicy(), CountingPolicy())
    context = SearchContext(cascade=larger, defer_below=0.4)
    assert rule_of(context) == Rule("score", [0.4, 0.4], [])
    alone = SearchContext(cascade=larger, prm=None, vote="majority")
    assert rule_of(alone) == Rule("vote_share", [0.9, 0.9], [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"policies": ["other", "large"]}, r"policies \['other', 'large'\]"),
        ({"policies": ["large", "counting"]}, "policies"),
        ({"prm": "other"}, "prm 'other', but here it is 'knowing'"),
        ({"score": "min"}, "score 'min'"),
        ({"vote": "majority"}, "vote 'majority'"),
        ({"version": 99}, "version 99"),
    ],
)
def test_a_file_for_another_cascade_is_refused_before_anything_is_spent(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    context = context_of(written(tmp_path, **changes))
    with pytest.raises(ThresholdsError, match=message) as raised:
        solve(QUESTION, strategy="cascade", context=context, seed=1)
    assert "langchain-tts calibrate-cascade --runs" in str(raised.value)
    policy = context.policy
    assert isinstance(policy, CountingPolicy)
    assert policy.requests == []


@pytest.mark.parametrize("text", ["", "[]", "{}", "no json", '{"version": 1}'])
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cascade.json"
    path.write_text(text)
    with pytest.raises(ThresholdsError, match="calibrate-cascade"):
        check_rule(context_of(str(path)))


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ThresholdsError, match=r"nowhere\.json"):
        check_rule(context_of(str(tmp_path / "nowhere.json")))


def test_other_numbers_of_samples_are_said(tmp_path: Path) -> None:
    context = context_of(written(tmp_path), budget=Budget(5))
    result = solve(QUESTION, strategy="cascade", context=context, seed=1)
    [note] = result["degradations"]
    assert note.endswith("for 4 + 4 samples of the policies, here they take 3 + 2")
