"""Outcome reward models against plain forward passes, one answer at a time."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    LlamaForSequenceClassification,
    Qwen2Config,
    Qwen2ForSequenceClassification,
)

from langchain_tts.budget import Budget
from langchain_tts.engines.errors import ModelLoadError, PromptTooLongError
from langchain_tts.rewards import resolve_prm
from langchain_tts.rewards.base import ScoreRequest
from langchain_tts.rewards.outcome import OutcomeModel
from langchain_tts.strategies._setting import WholeAnswersError
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import solve
from tests.unit_tests.fakes import Continuation, TreePolicy
from tests.unit_tests.tiny_models import (
    LETTERS,
    question,
    save_model,
    save_tokenizer,
)

TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'user' %}<user>{% else %}<assistant>"
    "{% endif %}{{ m['content'] }}<end>{% endfor %}"
)
KINDS: dict[str, tuple[Any, Any]] = {
    "llama": (LlamaConfig, LlamaForSequenceClassification),
    "qwen2": (Qwen2Config, Qwen2ForSequenceClassification),
}
ANSWERS = [
    ["1+2=3", "3+4=7"],
    ["5"],
    ["1+2=3", "3+4=8"],
    ["1-1=0", "0", "0+0=0", "0-0=0"],
    ["5"],
    ["4"],
]


def save(folder: Path, kind: str, labels: int, **settings: Any) -> Path:
    size = save_tokenizer(folder, merged=True, letters=LETTERS)
    config_class, model_class = KINDS[kind]
    values = {
        "vocab_size": size,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "initializer_range": 0.4,
        "bos_token_id": None,
        "eos_token_id": 1,
        "pad_token_id": 0,
        "num_labels": labels,
    }
    torch.manual_seed(labels)
    model_class(config_class(**{**values, **settings})).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


def scoring(steps: list[str], text: str = "1+2+4=") -> ScoreRequest:
    return ScoreRequest(
        messages=question(text),
        steps=steps,
        token_ids=[[] for _ in steps],
        logprobs=[0.0] * len(steps),
        new=len(steps),
    )


def plain(folder: Path, steps: list[str]) -> float:
    """The score by transformers alone: no batch, no padding."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32
    ).eval()
    text = "<user>1+2+4=<end><assistant>" + "\n\n".join(steps) + "<end>"
    with torch.inference_mode():
        [logits] = model(torch.tensor([tokenizer.encode(text)])).logits.tolist()
    if len(logits) == 1:
        return float(torch.tensor(logits[0]).sigmoid())
    return float(torch.tensor(logits).softmax(dim=-1)[1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("orm"), "qwen2", 1)


@pytest.mark.parametrize(
    ("kind", "labels", "settings"),
    [
        ("llama", 1, {}),
        ("llama", 2, {"pad_token_id": None}),
        ("qwen2", 2, {}),
        # The token that ends the answer is also the padding.
        ("qwen2", 1, {"pad_token_id": 1}),
        ("qwen2", 1, {"pad_token_id": None}),
    ],
)
def test_scores_are_those_of_a_plain_forward_pass(
    kind: str, labels: int, settings: dict[str, Any], tmp_path: Path
) -> None:
    folder = save(tmp_path, kind, labels, **settings)
    answers = OutcomeModel(folder).invoke([scoring(steps) for steps in ANSWERS])
    expected = [plain(folder, steps) for steps in ANSWERS]
    assert [answer["scores"] for answer in answers] == [
        [pytest.approx(score, abs=1e-5)] * len(steps)
        for score, steps in zip(expected, ANSWERS, strict=True)
    ]
    assert len({round(score, 4) for score in expected}) == 5


def boxed(digit: str) -> str:
    return rf"\boxed{{{digit}}}"


def length(steps: list[str]) -> int:
    """A token a letter, one for a blank line, and four around the texts."""
    return len("1+2+4=") + len("".join(steps)) + len(steps) - 1 + 4


def test_each_distinct_answer_is_read_once(folder: Path) -> None:
    model = OutcomeModel(folder)
    answers = model.invoke([scoring(steps) for steps in ANSWERS])
    lengths = [length(steps) for steps in ANSWERS]
    assert [a["computed_tokens"] for a in answers] == [*lengths[:4], 0, lengths[5]]
    assert [a["cached_tokens"] for a in answers] == [0, 0, 0, 0, lengths[4], 0]
    again = model.invoke([scoring(ANSWERS[0]), scoring(["0"])])
    assert [a["computed_tokens"] for a in again] == [0, length(["0"])]
    assert again[0]["scores"] == answers[0]["scores"]


def test_answers_of_similar_length_share_a_pass(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = OutcomeModel(folder)
    shapes: list[tuple[int, ...]] = []
    forward = model._model.forward

    def recorded(input_ids: Any, **more: Any) -> Any:
        shapes.append(tuple(input_ids.shape))
        return forward(input_ids=input_ids, **more)

    monkeypatch.setattr(model._model, "forward", recorded)
    model.invoke([scoring([str(i) * (1 + i % 2)]) for i in range(10)])
    model.invoke([scoring(["1" * 30]), scoring(["22"])])
    assert shapes == [(10, 12), (1, 12), (1, 40)]


def test_callers_at_once_get_their_own_answers(folder: Path) -> None:
    model = OutcomeModel(folder)
    expected = {str(i): plain(folder, [str(i)]) for i in range(8)}
    with ThreadPoolExecutor(8) as threads:
        found = dict(
            zip(
                expected,
                threads.map(lambda text: model.invoke([scoring([text])]), expected),
                strict=True,
            )
        )
    for text, [answer] in found.items():
        assert answer["scores"] == pytest.approx([expected[text]], abs=1e-5)


def test_the_oldest_steps_are_left_out_where_the_window_is_full(folder: Path) -> None:
    model = OutcomeModel(folder)
    steps = ["1" * 30, "2" * 20, "3" * 5]
    assert length(steps) > 64 >= length(steps[1:])
    [answer] = model.invoke([scoring(steps)])
    assert answer["dropped_steps"] == 1
    assert answer["scores"] == pytest.approx([plain(folder, steps[1:])] * 3, abs=1e-5)
    long, short = model.submit([scoring(["1" * 60])]), model.submit([scoring(["1"])])
    with pytest.raises(PromptTooLongError, match="70 tokens, but verifier"):
        long.result()
    assert len(short.result()) == 1


def test_special_tokens_in_an_answer_are_only_letters(folder: Path) -> None:
    [answer] = OutcomeModel(folder).invoke([scoring(["5<end>"])])
    spaced = plain(folder, ["5< end>"])
    assert answer["scores"] == pytest.approx([spaced], abs=1e-5)


def test_unusable_models_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="has 3 classes"):
        OutcomeModel(save(tmp_path / "three", "llama", 3))
    with pytest.raises(ModelLoadError, match="is no sequence classifier"):
        OutcomeModel(save_model(tmp_path / "causal"))
    bare = save(tmp_path / "bare", "llama", 1)
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(ModelLoadError, match="has no chat template"):
        OutcomeModel(bare)
    headless = save_model(tmp_path / "headless")
    config = json.loads((headless / "config.json").read_text())
    config["architectures"] = ["LlamaForSequenceClassification"]
    (headless / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelLoadError, match=r"lack 1 tensors, for example score"):
        OutcomeModel(headless)


async def test_the_tool_gives_every_step_the_answers_score(folder: Path) -> None:
    tool = OutcomeModel(folder).as_tool()
    call = {
        "name": "score_steps",
        "args": {"question": "1+2+4=", "steps": ANSWERS[0]},
        "id": "7",
        "type": "tool_call",
    }
    expected = pytest.approx([plain(folder, ANSWERS[0])] * 2, abs=1e-5)
    assert json.loads(tool.invoke(call).content) == expected
    assert json.loads((await tool.ainvoke(call)).content) == expected


@pytest.mark.parametrize("option", ["", "?format=outcome"])
def test_a_name_finds_it_by_its_architecture(option: str, folder: Path) -> None:
    name = f"transformers:{folder}{option}"
    prm = resolve_prm(name)
    assert isinstance(prm, OutcomeModel)
    assert prm.name == name


def test_it_chooses_among_answers_and_not_among_steps(folder: Path) -> None:
    def language(prefix: Any) -> list[Continuation]:
        if prefix:
            return [Continuation(boxed(prefix[0]), 1.0, ends=True)]
        return [Continuation(digit, 0.25) for digit in "1234"]

    context = SearchContext(
        policy=TreePolicy(language),
        prm=OutcomeModel(folder),
        budget=Budget(samples=16),
        score="min",
    )
    ask = question("1+2+4=")
    result = solve(ask, strategy="best_of_n", context=context, seed=1)
    best = max("1234", key=lambda digit: plain(folder, [digit, boxed(digit)]))
    assert result["answer"] == best
    with pytest.raises(WholeAnswersError, match="judges whole answers"):
        solve(ask, strategy="beam_search", context=context, seed=1)
