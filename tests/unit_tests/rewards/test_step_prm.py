"""Causal PRMs against plain forward passes over inputs written out in the test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from langchain_tts.rewards.base import ScoreRequest
from langchain_tts.rewards.formats import MathShepherdFormat, StepFormat, TagFormat
from langchain_tts.rewards.step_prm import StepPRM
from langchain_tts.rewards.transformers import TransformersReader
from tests.unit_tests.tiny_models import LETTERS, question, save_model

TAG = "<tag>"
STEPS = ["1+2=3", "3+4=7", "7-7=0", "0"]
CYRILLIC = [*"\u00d0\u00ba\u00b8", "S", "t", "p", ":"]
"""What a byte-level tokenizer needs to write Math-Shepherd's tag and headers."""


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
    return save_model(
        tmp_path_factory.mktemp("prm"), "mistral", letters=[*LETTERS, *CYRILLIC]
    )


FORMATS: dict[str, StepFormat] = {
    "tag": TagFormat(tag=TAG),
    "math-shepherd": MathShepherdFormat(labels="+-"),
}


def step_prm(folder: Path, step_format: StepFormat) -> StepPRM:
    reader = TransformersReader(folder, step_format.head)
    return StepPRM(reader, step_format, name="tiny")


def written_out(name: str, folder: Path) -> list[list[int]]:
    """The question and each step, as the model was trained to see them."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if name == "tag":
        pieces = ["<user>12+34=<assistant>", *(f"{s}\n\n{TAG}" for s in STEPS)]
    else:
        ki = "\u043a\u0438"
        pieces = ["12+34=", f" Step 1: {STEPS[0]} {ki}"]
        pieces += [f"\nStep {k}: {s} {ki}" for k, s in enumerate(STEPS[1:], start=2)]
    return [tokenizer.encode(piece) for piece in pieces]


@pytest.mark.parametrize("name", FORMATS)
def test_scores_are_the_softmax_of_two_labels(name: str, folder: Path) -> None:
    prm = step_prm(folder, FORMATS[name])
    answer = prm.invoke([scoring(STEPS, 4)])[0]
    expected = plain_scores(folder, written_out(name, folder))
    assert answer["scores"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", FORMATS)
def test_step_by_step_equals_all_at_once_and_computes_only_the_new_step(
    name: str, tmp_path: Path
) -> None:
    folder = save_model(tmp_path, "mistral", letters=[*LETTERS, *CYRILLIC])
    pieces = [len(piece) for piece in written_out(name, folder)]
    prm = step_prm(folder, FORMATS[name])
    expected = plain_scores(folder, written_out(name, folder))
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
    prm = step_prm(folder, FORMATS["tag"])
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
    prm = step_prm(folder, FORMATS["tag"])
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
    answer = step_prm(folder, FORMATS["tag"]).invoke([scoring(STEPS, 2)])[0]
    pieces = written_out("tag", folder)
    assert [len(piece) for piece in pieces] == [8, 7, 7, 7, 3]
    assert answer["dropped_steps"] == 0
    more = [*STEPS[:3], "0-0=0"]
    answer = step_prm(folder, FORMATS["tag"]).invoke([scoring(more, 2)])[0]
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
    tool = step_prm(folder, FORMATS["tag"]).as_tool()
    assert set(tool.args) == {"question", "steps"}
    scores: Any = tool.invoke({"question": "12+34=", "steps": STEPS})
    assert scores == pytest.approx(
        plain_scores(folder, written_out("tag", folder)), abs=1e-4
    )
