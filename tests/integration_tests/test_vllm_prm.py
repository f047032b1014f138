"""PRMs on a real vLLM: the scores of a plain forward pass, for the new tokens only."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, pairwise
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Model

from langchain_tts.budget import Budget
from langchain_tts.rewards import (
    ModelLoadError,
    StepFormat,
    register_format,
    resolve_prm,
)
from langchain_tts.rewards.base import ScoreRequest, Scores
from langchain_tts.rewards.formats.math_psa import MathPsaFormat
from langchain_tts.rewards.formats.math_shepherd import MathShepherdFormat
from langchain_tts.rewards.reader import ClassHead, LabelHead, Reading, ValueHead
from langchain_tts.rewards.step_prm import StepPRM
from langchain_tts.rewards.vllm import VLLMReader
from langchain_tts.search.state import Message, SearchResult
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.run import solve
from langchain_tts.tinymath import WEIGHTS
from tests.unit_tests.tiny_prms import KI, PSA_TAG, save_prm

BLOCK = 32
WINDOW = 1024
OPTIONS = (
    f"enforce_eager=true&block_size={BLOCK}&max_model_len={WINDOW}&exact_cache=true"
)
CAUSAL = ["math-shepherd", "rlhflow", "math-psa"]
FAMILIES = [*CAUSAL, "skywork", "qwen2.5-math"]

QUESTION = "What is (12+7)*3-8? Think first, then say it in one number."
STEPS = [
    "First add the numbers that stand in the parentheses: 12+7=19.",
    "Then multiply what came out by three: 19*3=57, which is the product.",
    "Last subtract eight from that: 57-8=49, so the answer is 49.",
    "Answer: 49",
]
OTHER = "Then multiply by three, and get it wrong: 19*3=59."


class ShepherdOnLlama(MathShepherdFormat):
    """An engine takes long to start, so one Llama stands for all language models."""

    model_types = ("llama",)


class PsaOnLlama(MathPsaFormat):
    """The same."""

    model_types = ("llama",)


FORMATS: dict[str, type[StepFormat]] = {
    "math-shepherd": ShepherdOnLlama,
    "math-psa": PsaOnLlama,
}

Oracle = Callable[[Path, list[str]], list[float]]


# The published formulas, each on one forward pass over a whole sequence.


def logits(folder: Path, ids: list[int]) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        return cast("torch.Tensor", model.eval()(torch.tensor([ids])).logits[0])


def states(folder: Path, ids: list[int]) -> torch.Tensor:
    model = Qwen2Model.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        output = model.eval()(torch.tensor([ids]))
    return cast("torch.Tensor", output.last_hidden_state[0])


def only(tokenizer: Any, text: str) -> int:
    [token] = tokenizer.encode(text, add_special_tokens=False)
    return int(token)


def tagged(folder: Path, text: str, tag: str) -> list[float]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer.encode(text)
    labels = [only(tokenizer, " +"), only(tokenizer, " -")]
    rows = logits(folder, ids)[torch.tensor(ids) == only(tokenizer, tag)]
    return [float(score) for score in rows[:, labels].softmax(dim=-1)[:, 0]]


def math_shepherd(folder: Path, steps: list[str]) -> list[float]:
    lines = [f"Step {k}: {step} {KI}" for k, step in enumerate(steps, start=1)]
    return tagged(folder, f"{QUESTION} " + "\n".join(lines), f" {KI}")


def math_psa(folder: Path, steps: list[str]) -> list[float]:
    text = "".join(f" {step}{PSA_TAG}" for step in steps)
    return tagged(folder, QUESTION + text, PSA_TAG)


def rlhflow(folder: Path, steps: list[str]) -> list[float]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    labels = [only(tokenizer, "+"), only(tokenizer, "-")]
    chat: list[dict[str, str]] = []
    scores = []
    for step in steps:
        content = step if chat else f"{QUESTION} {step}"
        chat.append({"role": "user", "content": content})
        text = tokenizer.apply_chat_template(
            chat, tokenize=False, add_generation_prompt=True
        )
        ids = tokenizer.encode(text, add_special_tokens=False)
        scores.append(float(logits(folder, ids)[-1, labels].softmax(dim=-1)[0]))
        chat.append({"role": "assistant", "content": "+"})
    return scores


def skywork(folder: Path, steps: list[str]) -> list[float]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = [tokenizer.bos_token_id, *tokenizer.encode(QUESTION + "\n")]
    ends = []
    for step in steps:
        ids += [*tokenizer.encode(step), *tokenizer.encode("\n")]
        ends.append(len(ids) - 1)
    weights = load_file(folder / "model.safetensors")
    value = states(folder, ids) @ weights["v_head.summary.weight"].T
    value += weights["v_head.summary.bias"]
    return [float(value[end, 0].sigmoid()) for end in ends]


def qwen_math(folder: Path, steps: list[str]) -> list[float]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    system = "Please reason step by step, and put your final answer within \\boxed{}."
    chat = [
        {"role": "system", "content": system},
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": "".join(f"{s}<extra_0>" for s in steps)},
    ]
    ids = tokenizer.encode(tokenizer.apply_chat_template(chat, tokenize=False))
    w = load_file(folder / "model.safetensors")
    inner = states(folder, ids) @ w["score.0.weight"].T + w["score.0.bias"]
    classes = inner.relu() @ w["score.2.weight"].T + w["score.2.bias"]
    marked = torch.tensor(ids) == only(tokenizer, "<extra_0>")
    return [float(score) for score in classes[marked].softmax(dim=-1)[:, 1]]


ORACLES: dict[str, Oracle] = {
    "math-shepherd": math_shepherd,
    "rlhflow": rlhflow,
    "math-psa": math_psa,
    "skywork": skywork,
    "qwen2.5-math": qwen_math,
}


@pytest.fixture(scope="module", autouse=True)
def small_cache() -> None:
    """The processes of vLLM read it when they start."""
    pytest.importorskip("vllm")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three checkpoints; one knows the markers of all causal families."""
    root = tmp_path_factory.mktemp("prms")
    causal = save_prm(root / "causal", "rlhflow", window=WINDOW, vocab_size=320)
    tokenizer = AutoTokenizer.from_pretrained(causal)
    tokenizer.add_tokens(f" {KI}")
    tokenizer.save_pretrained(causal)
    headed = {
        family: save_prm(root / family, family, window=WINDOW)
        for family in ("skywork", "qwen2.5-math")
    }
    return dict.fromkeys(CAUSAL, causal) | headed


@pytest.fixture(scope="module")
def prm(folders: dict[str, Path]) -> Iterator[Callable[[str], StepPRM]]:
    """Opens a family's PRM."""
    opened: list[StepPRM] = []

    def resolve(family: str) -> StepPRM:
        written = family
        if family in FORMATS:
            written = f"{family}-on-llama"
            register_format(written, FORMATS[family])
        name = f"vllm:{folders[family]}?format={written}&{OPTIONS}"
        opened.append(cast("StepPRM", resolve_prm(name)))
        return opened[-1]

    yield resolve
    for one in opened:
        reader(one).engine.close()


def reader(prm: StepPRM) -> VLLMReader:
    return cast("VLLMReader", prm._reader)


def scored(prm: StepPRM, *trajectories: list[str], new: int = 1) -> list[Scores]:
    return prm.submit([asked(steps, new) for steps in trajectories]).result()


def asked(steps: list[str], new: int) -> ScoreRequest:
    return ScoreRequest(
        messages=[Message(role="user", content=QUESTION)],
        steps=steps,
        token_ids=[],
        logprobs=[],
        new=new,
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_one_plain_forward_pass(
    family: str, prm: Callable[[str], StepPRM], folders: dict[str, Path]
) -> None:
    oracle = partial(ORACLES[family], folders[family])
    verifier = prm(family)
    right, wrong = STEPS[:2], [STEPS[0], OTHER]
    expected = oracle(STEPS)
    # Each step when it is new, as a search asks.
    steps = [scored(verifier, STEPS[:k])[0]["scores"] for k in range(1, 5)]
    assert [score for [score] in steps] == pytest.approx(expected, abs=1e-3)
    assert min(abs(a - b) for a, b in pairwise(expected)) > 2e-3
    # All steps at once, now that the cache has them.
    [full] = scored(verifier, STEPS, new=4)
    assert full["scores"] == pytest.approx(expected, abs=1e-3)
    # Siblings in one batch.
    one, two = scored(verifier, right, wrong)
    assert one["scores"] == pytest.approx(expected[1:2], abs=1e-3)
    assert two["scores"] == pytest.approx(oracle(wrong)[1:], abs=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_costs_its_own_tokens_and_no_more(
    family: str, prm: Callable[[str], StepPRM]
) -> None:
    verifier = prm(family)
    fresh = [f"{STEPS[0]} It is {number}." for number in range(5)]
    sizes = []
    for k in range(1, 6):
        [scores] = scored(verifier, fresh[:k])
        sizes.append(scores["computed_tokens"] + scores["cached_tokens"])
        if k > 1:
            assert scores["cached_tokens"] == sizes[-2]
    # Prefixes that end where a block of vLLM's cache does would show nothing.
    assert any(size % BLOCK for size in sizes[:-1])
    # What is asked twice is computed once; siblings find all of their parent, and full
    # blocks of what they begin with alike.
    more = [[*fresh[:3], text] for text in (OTHER, OTHER, STEPS[2])]
    first, again, sibling = scored(verifier, *more)
    assert again["scores"] == first["scores"]
    assert again["computed_tokens"] == 0
    assert min(sibling["cached_tokens"], first["cached_tokens"]) >= sizes[2]


@pytest.mark.parametrize("family", ["rlhflow", "skywork", "qwen2.5-math"])
def test_requests_of_one_batch_share_what_nobody_has_computed_before(
    family: str, prm: Callable[[str], StepPRM]
) -> None:
    trajectories = [[f"{family}: {OTHER * 2}", text] for text in STEPS]
    scores = scored(prm(family), *trajectories)
    computed = sum(one["computed_tokens"] for one in scores)
    whole = computed + sum(one["cached_tokens"] for one in scores)
    assert computed < whole / 2


@pytest.mark.parametrize("family", ["rlhflow", "skywork", "qwen2.5-math"])
def test_the_context_window_is_what_vllm_accepts(
    family: str, prm: Callable[[str], StepPRM]
) -> None:
    model = reader(prm(family))
    window = model.context_window
    assert window == WINDOW - (family == "rlhflow")
    ids = [10 + i % 90 for i in range(window + 1)]
    [read] = model.read([Reading(ids[:window], [window - 1])]).result()
    assert read.computed + read.cached == window
    with pytest.raises(ValueError, match="maximum model length"):
        model.read([Reading(ids, [window])]).result()


@pytest.mark.parametrize("family", ["rlhflow", "skywork"])
def test_cancelling_aborts_the_requests(
    family: str, prm: Callable[[str], StepPRM]
) -> None:
    model = reader(prm(family))
    unfinished = model.engine.llm.output_processor.get_num_unfinished_requests
    numbers = count()
    readings = [
        Reading([10 + next(numbers) % (80 + k) for _ in range(400)], [399])
        for k in range(64)
    ]
    work = model.read(readings)
    deadline = time.monotonic() + 20
    while not unfinished() and time.monotonic() < deadline:
        time.sleep(0.001)
    assert work.cancel()
    while unfinished() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert unfinished() == 0


def test_causal_families_of_one_folder_share_its_engine(
    prm: Callable[[str], StepPRM],
) -> None:
    engines = {id(reader(prm(family)).engine) for family in CAUSAL}
    assert len(engines) == 1


def test_a_folder_that_has_not_the_head_is_refused_before_vllm_starts(
    folders: dict[str, Path],
) -> None:
    with pytest.raises(ModelLoadError, match="no class head"):
        VLLMReader(folders["skywork"], lambda _: ClassHead())
    with pytest.raises(ModelLoadError, match="no value head"):
        VLLMReader(folders["rlhflow"], lambda _: ValueHead())
    with pytest.raises(ModelLoadError, match="label token 9999"):
        VLLMReader(folders["rlhflow"], lambda _: LabelHead(1, 9999))


def test_a_search_is_verified_as_with_the_transformers_backend() -> None:
    name = f"vllm:{WEIGHTS / 'tag-prm'}?enforce_eager=true"
    verifier = cast("StepPRM", resolve_prm(name))
    question = [Message(role="user", content="What is (12+7)*3-8?")]

    def search(prm: str) -> SearchResult:
        context = SearchContext(prm=prm, budget=Budget(samples=16))
        return solve(question, context=context, strategy="beam_search", seed=1)

    try:
        ours = search(name)
    finally:
        reader(verifier).engine.close()
    theirs = search("tinymath-tag")
    assert [c["text"] for c in ours["tree"]] == [c["text"] for c in theirs["tree"]]
    for one, other in zip(ours["tree"], theirs["tree"], strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-3)
    assert ours["answer"] == theirs["answer"]
    assert ours["degradations"] == []
    assert ours["spent"]["prm_cached_tokens"] > 0
