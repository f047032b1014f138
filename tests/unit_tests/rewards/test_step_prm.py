"""Causal PRMs against plain forward passes over inputs written out in the test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from langchain_tts.rewards.base import ScoreRequest
from langchain_tts.rewards.formats import TagFormat
from langchain_tts.rewards.step_prm import StepPRM
from langchain_tts.rewards.transformers import TransformersReader
from tests.unit_tests.tiny_models import question, save_model

TAG = "<tag>"
STEPS = ["1+2=3", "3+4=7", "7-7=0", "0"]


def scoring(
    steps: list[str], new: int, ids: list[list[int]] | None = None
) -> ScoreRequest:
    return ScoreRequest(
        messages=question(),
        steps=steps,
        token_ids=[[] for _ in steps] if ids is None else ids,
        logprobs=[0.0] * len(steps),
        new=new,
    )


def plain_scores(folder: Path, pieces: list[list[int]]) -> list[float]:
    """P(+) against P(-) after each piece but the first."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    labels = tokenizer.convert_tokens_to_ids(["+", "-"])
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        logits = model(torch.tensor([[i for piece in pieces for i in piece]])).logits[0]
    ends = torch.tensor([len(piece) for piece in pieces]).cumsum(0)[1:] - 1
    return [float(right) for right in logits[ends][:, labels].softmax(dim=-1)[:, 0]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("prm"), "mistral")


def step_prm(folder: Path) -> StepPRM:
    step_format = TagFormat(tag=TAG)
    reader = TransformersReader(folder, step_format.head)
    return StepPRM(reader, step_format, name="tiny")


def written_out(folder: Path) -> list[list[int]]:
    """The question and each step, as the model was trained to see them."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pieces = ["<user>12+34=<assistant>", *(f"{s}\n\n{TAG}" for s in STEPS)]
    return [tokenizer.encode(piece) for piece in pieces]


def test_scores_are_the_softmax_of_two_labels(folder: Path) -> None:
    answer = step_prm(folder).invoke([scoring(STEPS, 4)])[0]
    expected = plain_scores(folder, written_out(folder))
    assert answer["scores"] == pytest.approx(expected, abs=1e-4)


def test_step_by_step_equals_all_at_once_and_computes_only_the_new_step(
    tmp_path: Path,
) -> None:
    folder = save_model(tmp_path, "mistral")
    pieces = [len(piece) for piece in written_out(folder)]
    prm = step_prm(folder)
    expected = plain_scores(folder, written_out(folder))
    for count in range(1, 5):
        answer = prm.invoke([scoring(STEPS[:count], 1)])[0]
        assert answer["scores"] == pytest.approx([expected[count - 1]], abs=1e-4)
        assert answer["computed_tokens"] == (
            pieces[count] + (pieces[0] if count == 1 else 0)
        )
        assert answer["cached_tokens"] == (sum(pieces[:count]) if count > 1 else 0)


def test_the_policys_own_tokens_are_used_where_they_spell_the_step(
    folder: Path,
) -> None:
    prm = step_prm(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    end = tokenizer.encode("5<end>")
    prompt = tokenizer.encode("<user>12+34=<assistant>")
    tag = tokenizer.convert_tokens_to_ids(TAG)
    own = prm.invoke([scoring(["5"], 1, [end])])[0]["scores"]
    assert own == pytest.approx(plain_scores(folder, [prompt, [*end, tag]]), abs=1e-4)
    other = prm.invoke([scoring(["5"], 1, [tokenizer.encode("6")])])[0]["scores"]
    rewritten = [prompt, tokenizer.encode(f"5\n\n{TAG}")]
    assert other == pytest.approx(plain_scores(folder, rewritten), abs=1e-4)


def test_siblings_share_all_that_they_have_in_common(tmp_path: Path) -> None:
    folder = save_model(tmp_path)
    prm = step_prm(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    wholes = [[*STEPS[:2], last] for last in ("7-1=6", "7-1=5", "7", "7-1=6")]
    answers = prm.invoke([scoring(steps, 3) for steps in wholes])
    prefixes = set()
    for steps in wholes:
        text = "<user>12+34=<assistant>" + "".join(f"{s}\n\n{TAG}" for s in steps)
        ids = tokenizer.encode(text)
        prefixes |= {tuple(ids[:end]) for end in range(1, len(ids) + 1)}
    assert sum(a["computed_tokens"] for a in answers) == len(prefixes)
    assert answers[0]["scores"] == answers[3]["scores"]
    assert answers[0]["scores"][:2] == answers[2]["scores"][:2]


def test_the_oldest_steps_are_dropped_when_the_window_is_full(tmp_path: Path) -> None:
    folder = save_model(tmp_path, window=32)
    answer = step_prm(folder).invoke([scoring(STEPS, 2)])[0]
    pieces = written_out(folder)
    assert [len(piece) for piece in pieces] == [8, 7, 7, 7, 3]
    assert answer["dropped_steps"] == 0
    more = [*STEPS[:3], "0-0=0"]
    answer = step_prm(folder).invoke([scoring(more, 2)])[0]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    last = tokenizer.encode(f"0-0=0\n\n{TAG}")
    assert answer["dropped_steps"] == 1
    assert answer["scores"] == pytest.approx(
        [
            plain_scores(folder, pieces[:4])[-1],
            plain_scores(folder, [pieces[0], *pieces[2:4], last])[-1],
        ],
        abs=1e-4,
    )


def test_the_tool_scores_every_step(folder: Path) -> None:
    tool = step_prm(folder).as_tool()
    assert set(tool.args) == {"question", "steps"}
    scores: Any = tool.invoke({"question": "12+34=", "steps": STEPS})
    assert scores == pytest.approx(plain_scores(folder, written_out(folder)), abs=1e-4)


def test_a_blank_step_is_not_read_and_has_the_score_before_it(folder: Path) -> None:
    prm = step_prm(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    end = tokenizer.encode("<end>")
    first, second = plain_scores(folder, written_out(folder)[:3])
    ids = [tokenizer.encode(f"{step}\n\n") for step in STEPS[:2]]
    trailing = scoring([*STEPS[:2], ""], 3, [*ids, end])
    assert prm.invoke([trailing])[0]["scores"] == pytest.approx(
        [first, second, second], abs=1e-4
    )
    alone = prm.invoke([scoring([*STEPS[:2], " \n"], 1)])[0]
    assert alone["scores"] == pytest.approx([second], abs=1e-4)
    assert alone["computed_tokens"] == 1
    between = prm.invoke([scoring([STEPS[0], "", STEPS[1]], 2)])[0]
    assert between["scores"] == pytest.approx([first, second], abs=1e-4)
    nothing = prm.invoke([scoring(["", " "], 2, [end, end]), scoring([], 0)])
    assert [answer["scores"] for answer in nothing] == [[0.0, 0.0], []]
    assert nothing[0]["computed_tokens"] == nothing[0]["cached_tokens"] == 0


def test_tags_that_the_policy_wrote_are_left_out(folder: Path) -> None:
    prm = step_prm(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompt, _, *_ = written_out(folder)
    step = tokenizer.encode(f"{TAG}1+2{TAG}=3\n\n")
    # Its text is what is left without special tokens, so its ids are kept.
    scores = prm.invoke([scoring(["1+2=3"], 1, [step])])[0]["scores"]
    cleaned = tokenizer.encode("1+2") + tokenizer.encode("=3\n\n")
    tagged = [*cleaned, tokenizer.convert_tokens_to_ids(TAG)]
    assert scores == pytest.approx(plain_scores(folder, [prompt, tagged]), abs=1e-4)
    # As text, it is no tag but letters: "<tag>" is none that this tokenizer knows.
    text = prm.invoke([scoring([f"1{TAG}2"], 1)])[0]["scores"]
    letters = tokenizer.encode(f"1< tag>2\n\n{TAG}")
    assert text == pytest.approx(plain_scores(folder, [prompt, letters]), abs=1e-4)


def test_more_new_steps_than_there_are_is_an_error(folder: Path) -> None:
    prm = step_prm(folder)
    with pytest.raises(ValueError, match="3 new steps"):
        prm.invoke([scoring(["1", ""], 3)])
