"""PRMs on real vLLM servers: the same scores as a transformers forward pass."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, Qwen2Model

from langchain_tts.engines.errors import ModelLoadError
from langchain_tts.engines.tokens import ModelTokenizer
from langchain_tts.rewards import resolve_prm
from langchain_tts.rewards.base import RewardModel, ScoreRequest
from langchain_tts.rewards.reader import ClassHead, LabelHead, Reading, ValueHead
from langchain_tts.rewards.server import ServerReader
from langchain_tts.rewards.transformers import TransformersReader
from langchain_tts.tinymath import WEIGHTS
from tests.integration_tests.servers import serving
from tests.unit_tests.tiny_prms import save_prm

POOLING = ("--runner", "pooling", "--enable-prefix-caching")
ALL_TOKENS = ("--pooler-config", '{"tok_pooling_type": "ALL"}')


def label_head(tokens: ModelTokenizer) -> LabelHead:
    return LabelHead(tokens.token_id("+"), tokens.token_id("-"))


def growing(seed: int, steps: int = 4, beams: int = 6) -> list[list[Reading]]:
    """What a beam search reads: beams that grow, some from the same parents."""
    rng = random.Random(seed)
    beams_now = [[rng.randrange(20, 120) for _ in range(60)]] * beams
    rounds = []
    for _ in range(steps):
        parents = [rng.choice(beams_now) for _ in range(beams)]
        beams_now = [
            [*parent, *(rng.randrange(20, 120) for _ in range(rng.randint(5, 60)))]
            for parent in parents
        ]
        rounds.append([Reading(ids, [len(ids) - 1]) for ids in beams_now])
    return rounds


def whole(ids: list[int], places: int) -> Reading:
    return Reading(ids, sorted({*range(7, len(ids), len(ids) // places), len(ids) - 1}))


def cached_tokens(url: str) -> tuple[float, float]:
    """Prompt tokens that the server looked up, and those it found in its cache."""
    lines = httpx.get(f"{url.removesuffix('/v1')}/metrics").text.splitlines()
    told = [
        float(line.rpartition(" ")[2])
        for kind in ("queries", "hits")
        for line in lines
        if line.startswith(f"vllm:prefix_cache_{kind}_total")
    ]
    return told[0], told[1]


def test_labels_over_http_are_the_softmax_that_transformers_computes(
    tag_prm_server: str,
) -> None:
    theirs = ServerReader([tag_prm_server], label_head)
    ours = TransformersReader(WEIGHTS / "tag-prm", label_head)
    assert theirs.num_parameters == ours.num_parameters
    assert theirs.context_window == ours.context_window - 1
    for readings in growing(1):
        wanted = [read.scores for read in ours.read(readings).result()]
        found = [read.scores for read in theirs.read(readings).result()]
        torch.testing.assert_close(found, wanted, atol=1e-3, rtol=0)
    # All at once, by a reader that has not read the parts.
    fresh = ServerReader([tag_prm_server], label_head)
    reading = whole(growing(1)[-1][0].ids, 9)
    (one,), (other,) = fresh.read([reading]).result(), ours.read([reading]).result()
    torch.testing.assert_close(one.scores, other.scores, atol=1e-3, rtol=0)


def test_what_is_counted_as_computed_is_what_the_server_computed(
    tag_prm_server: str,
) -> None:
    reader = ServerReader([tag_prm_server], label_head)
    before = cached_tokens(tag_prm_server)
    reads = [
        read
        for readings in growing(2, steps=6, beams=8)
        for read in reader.read(readings).result()
    ]
    after = cached_tokens(tag_prm_server)
    hits = after[1] - before[1]
    assert hits > 0
    assert sum(read.cached for read in reads) == hits
    assert sum(read.computed for read in reads) == after[0] - before[0] - hits


def test_equal_readings_are_asked_once_and_an_empty_call_asks_nothing(
    tag_prm_server: str,
) -> None:
    reader = ServerReader([tag_prm_server], label_head)
    before = cached_tokens(tag_prm_server)[0]
    ids = growing(3)[0][0].ids
    first, second = reader.read([Reading(ids, [len(ids) - 1])] * 2).result()
    assert cached_tokens(tag_prm_server)[0] - before == len(ids)
    assert (first.scores, second.computed) == (second.scores, 0)
    assert second.cached == len(ids)
    assert reader.read([]).result() == []


def request(steps: list[str], new: int) -> ScoreRequest:
    return ScoreRequest(
        messages=[{"role": "user", "content": "What is (12+7)*3-8?"}],
        steps=steps,
        token_ids=[[]] * len(steps),
        logprobs=[0.0] * len(steps),
        new=new,
    )


def scores_of(prm: RewardModel | None, steps: list[str], new: int) -> list[float]:
    assert prm is not None
    (answer,) = prm.submit([request(steps, new)]).result()
    return answer["scores"]


def test_a_prm_by_its_servers_address_is_the_embedded_one(tag_prm_server: str) -> None:
    # The server's model is a folder here, whose prm_config.json tells the format.
    remote, local = resolve_prm(tag_prm_server), resolve_prm("tinymath-tag")
    steps = ["12+7=19", "19*3=57", "57-8=49", "Answer: \\boxed{49}"]
    wanted = scores_of(local, steps, 4)
    assert max(wanted) - min(wanted) > 0.1
    torch.testing.assert_close(scores_of(remote, steps, 4), wanted, atol=1e-3, rtol=0)
    one_by_one = [scores_of(remote, steps[:i], 1)[0] for i in range(1, 5)]
    torch.testing.assert_close(one_by_one, wanted, atol=1e-3, rtol=0)


def test_a_server_that_generates_has_no_classification_head(
    tag_prm_server: str,
) -> None:
    with pytest.raises(ModelLoadError, match=r"--runner pooling"):
        ServerReader([tag_prm_server], lambda _tokens: ClassHead())
    with pytest.raises(ModelLoadError, match=r"is a Llama|of type|ClassHead"):
        resolve_prm(f"{tag_prm_server}?format=qwen2.5-math")


def test_labels_that_the_model_does_not_have_are_refused_at_load(
    tag_prm_server: str,
) -> None:
    with pytest.raises(ModelLoadError, match="out-of-vocab"):
        ServerReader([tag_prm_server], lambda _tokens: LabelHead(3, 100_000))


def test_a_model_that_is_not_served_is_refused_with_what_is(
    tag_prm_server: str,
) -> None:
    with pytest.raises(ModelLoadError, match=r"no model 'other', but tinymath-tag"):
        resolve_prm(f"{tag_prm_server}?model=other")


def test_a_tokenizer_of_another_model_is_refused(
    tag_prm_server: str, tmp_path: Path
) -> None:
    folder = save_prm(tmp_path, "qwen2.5-math")
    with pytest.raises(ModelLoadError, match="is not that of 'tinymath-tag'"):
        ServerReader([tag_prm_server], label_head, tokenizer=str(folder))


def test_a_model_that_is_not_on_this_machine_needs_a_named_tokenizer(
    tag_prm_server: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelLoadError, match=r"option tokenizer=FOLDER_OR_MODEL"):
        ServerReader([tag_prm_server], label_head, tokenizer=str(tmp_path / "none"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_prm(tmp_path_factory.mktemp("prm"), "qwen2.5-math", seed=5)


@pytest.fixture(scope="module")
def pooling_server(checkpoint: Path) -> Iterator[str]:
    with serving(checkpoint, *POOLING, *ALL_TOKENS, name="qwen-prm") as url:
        yield url


def oracle(folder: Path, ids: list[int]) -> list[float]:
    """The published formula at every position, on the whole sequence."""
    weights = load_file(folder / "model.safetensors")
    model = Qwen2Model(AutoConfig.from_pretrained(folder, trust_remote_code=False))
    body = {
        name.removeprefix("model."): tensor
        for name, tensor in weights.items()
        if name.startswith("model.")
    }
    model.load_state_dict(body)
    with torch.inference_mode():
        states = model(torch.tensor([ids])).last_hidden_state[0]
        hidden = states @ weights["score.0.weight"].T + weights["score.0.bias"]
        logits = hidden.relu() @ weights["score.2.weight"].T + weights["score.2.bias"]
    scores: list[float] = logits.softmax(-1)[:, 1].tolist()
    return scores


def test_classes_over_http_are_the_published_formula(
    pooling_server: str, checkpoint: Path
) -> None:
    reader = ServerReader([pooling_server], lambda _tokens: ClassHead())
    for readings in growing(4, beams=3):
        for reading, read in zip(readings, reader.read(readings).result(), strict=True):
            wanted = oracle(checkpoint, reading.ids)[-1:]
            torch.testing.assert_close(read.scores, wanted, atol=1e-3, rtol=0)
            assert read.computed + read.cached == len(reading.ids)
    reading = whole(growing(4)[-1][0].ids, 9)
    (read,) = reader.read([reading]).result()
    everywhere = oracle(checkpoint, reading.ids)
    wanted = [everywhere[end] for end in reading.ends]
    torch.testing.assert_close(read.scores, wanted, atol=1e-3, rtol=0)
    assert (read.computed, read.cached) == (len(reading.ids), 0)


def test_the_format_of_a_pooling_server_is_told_by_its_model(
    pooling_server: str, checkpoint: Path
) -> None:
    remote = resolve_prm(pooling_server)
    local = resolve_prm(f"transformers:{checkpoint}")
    steps = ["12+7=19", "19*3=57", "57-8=49"]
    wanted = scores_of(local, steps, 3)
    torch.testing.assert_close(scores_of(remote, steps, 3), wanted, atol=1e-3, rtol=0)


def test_a_pooling_server_has_no_labels_and_no_other_head(pooling_server: str) -> None:
    with pytest.raises(ModelLoadError, match="a server that generates text"):
        ServerReader([pooling_server], lambda _tokens: LabelHead(3, 4))
    with pytest.raises(ModelLoadError, match="1 numbers for each token"):
        ServerReader([pooling_server], lambda _tokens: ValueHead())
