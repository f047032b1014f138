"""The transformers policy against plain forward passes of the same model."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
)

from langchain_tts.engines.decode import RunningBatch
from langchain_tts.policies import ModelLoadError, PromptTooLongError
from langchain_tts.policies.base import Generation, Sample
from langchain_tts.policies.transformers import TransformersPolicy
from tests.unit_tests.tiny_models import (
    KINDS,
    LETTERS,
    question,
    request,
    save_model,
    save_tokenizer,
)

END = 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def policy(folder: Path) -> TransformersPolicy:
    return TransformersPolicy(folder)


@pytest.fixture(scope="module")
def plain(folder: Path) -> Any:
    """The same weights in transformers' own attention, as the oracle."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def ids(sample: Sample) -> list[int]:
    return [token for step in sample["steps"] for token in step["token_ids"]]


def all_ids(generations: list[Generation]) -> list[list[int]]:
    return [ids(sample) for one in generations for sample in one["samples"]]


def plain_logprobs(model: Any, prompt: list[int], new: list[int]) -> list[float]:
    with torch.inference_mode():
        logits = model(torch.tensor([prompt + new])).logits[0].double()
    rows = logits.log_softmax(dim=-1)[len(prompt) - 1 : -1]
    return [float(row[token]) for row, token in zip(rows, new, strict=True)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("groups", [1, 2])
def test_greedy_equals_generate_of_transformers(
    kind: str, groups: int, tmp_path: Path
) -> None:
    folder = save_model(tmp_path, kind, num_key_value_heads=4 // groups, seed=groups)
    policy = TransformersPolicy(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    texts = ["1", "12+34=", "abc def 123 ", "7-7=0 8-8="]
    answers = policy.invoke([request(text, temperature=0.0) for text in texts])
    for text, answer in zip(texts, answers, strict=True):
        prompt = policy.model.tokens.chat_ids(question(text))
        expected = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=40,
            do_sample=False,
        )[0, len(prompt) :].tolist()
        assert ids(answer["samples"][0]) == expected


def test_logprobs_equal_a_full_forward_pass(
    policy: TransformersPolicy, plain: Any
) -> None:
    answer = policy.invoke([request(seeds=list(range(12)), temperature=1.3)])[0]
    prompt = policy.model.tokens.chat_ids(question())
    for sample in answer["samples"]:
        expected = plain_logprobs(plain, prompt, ids(sample))
        start = 0
        for step in sample["steps"]:
            stop = start + len(step["token_ids"])
            assert step["logprob"] == pytest.approx(sum(expected[start:stop]), abs=1e-4)
            start = stop


@pytest.mark.parametrize("ends", [True, False])
def test_a_step_that_somebody_wrote_is_read_as_if_generated(
    policy: TransformersPolicy, plain: Any, ends: bool
) -> None:
    prefix = policy.model.tokens.encode("4+4=8\n\n")
    step = policy.read_step(question(), prefix, "8+1=9", ends=ends)
    written = "8+1=9" if ends else "8+1=9\n\n"
    assert step["token_ids"] == policy.model.tokens.encode(written) + [END] * ends
    before = [*policy.model.tokens.chat_ids(question()), *prefix]
    expected = sum(plain_logprobs(plain, before, step["token_ids"]))
    assert step["logprob"] == pytest.approx(expected, abs=1e-4)
    with pytest.raises(PromptTooLongError, match="write a shorter step"):
        policy.read_step(question(), prefix, "8+1=9 " * 99, ends=ends)


def test_steps_are_cut_after_delimiters_and_say_so(policy: TransformersPolicy) -> None:
    tokenizer = policy.model.tokens.tokenizer
    for by_step in (True, False):
        answer = policy.invoke([request(seeds=list(range(40)), by_step=by_step)])[0]
        for sample in answer["samples"]:
            steps, reason = sample["steps"], sample["finish_reason"]
            assert reason != "step" or (by_step and len(steps) == 1)
            assert (ids(sample)[-1] == END) == (reason == "stop")
            assert (len(ids(sample)) == 40) or reason != "length"
            for number, step in enumerate(steps, start=1):
                whole = tokenizer.decode(step["token_ids"], skip_special_tokens=True)
                ended = number < len(steps) or reason == "step"
                assert whole.strip("\n") == step["text"]
                assert not ended or whole.endswith("\n\n")
                assert "\n\n" not in step["text"]
                assert step["text"].strip() or len(steps) == 1
        reasons = {sample["finish_reason"] for sample in answer["samples"]}
        assert reasons >= ({"step", "stop"} if by_step else {"stop", "length"})


@pytest.mark.parametrize("merged", [True, False])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_step_by_step_with_one_seed_is_one_long_generation(
    tmp_path: Path, temperature: float, *, merged: bool
) -> None:
    policy = TransformersPolicy(save_model(tmp_path, merged=merged, seed=5))
    for seed in range(20):
        common: dict[str, Any] = {"temperature": temperature, "seeds": [seed]}
        long = policy.invoke([request(**common)])[0]["samples"][0]
        prefix: list[int] = []
        steps = []
        reason = "step"
        while reason == "step" and len(prefix) < 40:
            step = policy.invoke(
                [
                    request(
                        prefix=prefix,
                        by_step=True,
                        max_tokens=40 - len(prefix),
                        **common,
                    )
                ]
            )[0]["samples"][0]
            steps += step["steps"]
            prefix += ids(step)
            reason = step["finish_reason"]
        assert prefix == ids(long)
        assert [step["text"] for step in steps if step["text"]] == [
            step["text"] for step in long["steps"] if step["text"]
        ]


def test_a_sample_depends_on_its_seed_not_on_its_batch(
    policy: TransformersPolicy,
) -> None:
    alone = all_ids([policy.invoke([request(seeds=[s])])[0] for s in range(6)])
    others = [request(f"{i}+{i}=", seeds=[100 + i, 200 + i]) for i in range(20)]
    together = policy.invoke([*others, request(seeds=list(range(6))), *others])
    assert all_ids([together[20]]) == alone
    assert len({tuple(sample) for sample in alone}) == 6


def test_frequencies_of_first_tokens_follow_the_softmax(
    policy: TransformersPolicy, plain: Any
) -> None:
    n, temperature = 4000, 0.7
    answer = policy.invoke(
        [request(seeds=list(range(n)), max_tokens=1, temperature=temperature)]
    )[0]
    with torch.inference_mode():
        prompt = torch.tensor([policy.model.tokens.chat_ids(question())])
        expected = n * (plain(prompt).logits[0, -1] / temperature).softmax(dim=-1)
    counts = torch.bincount(
        torch.tensor([ids(s)[0] for s in answer["samples"]]), minlength=len(expected)
    )
    large = expected >= 5
    observed = [*counts[large].tolist(), int(counts[~large].sum())]
    wanted = [*expected[large].tolist(), float(expected[~large].sum())]
    chi2 = sum((o - e) ** 2 / e for o, e in zip(observed, wanted, strict=True) if e)
    degrees = len(wanted) - 1
    assert chi2 < degrees + 4 * (2 * degrees) ** 0.5


def test_a_beam_search_computes_each_token_once(policy: TransformersPolicy) -> None:
    first = policy.invoke([request("4+4=", seeds=list(range(16)), by_step=True)])[0]
    prompt = policy.count_prompt_tokens(question("4+4="))
    # <user> was stored by the other tests' prompts, and "4+4=" perhaps in part.
    assert first["prompt_tokens"] + first["cached_tokens"] == prompt
    beams = [ids(s) for s in first["samples"] if s["finish_reason"] == "step"]
    beams = [list(beam) for beam in {tuple(beam) for beam in beams}]
    assert len(beams) > 2
    for _ in range(3):
        answers = policy.invoke(
            [request("4+4=", prefix=b, seeds=[1, 2, 3, 4], by_step=True) for b in beams]
        )
        # The delimiter was sampled, never an input; all before it is stored.
        assert [a["prompt_tokens"] for a in answers] == [1] * len(beams)
        assert [a["cached_tokens"] for a in answers] == [
            prompt + len(beam) - 1 for beam in beams
        ]
        beams = [
            beam + ids(sample)
            for beam, answer in zip(beams, answers, strict=True)
            for sample in answer["samples"][:1]
            if sample["finish_reason"] == "step"
        ]


def test_equal_prompts_of_one_batch_are_computed_once(
    policy: TransformersPolicy,
) -> None:
    answers = policy.invoke([request("8-3=5-2=", seeds=[i]) for i in range(5)])
    whole = policy.count_prompt_tokens(question("8-3=5-2="))
    assert sum(a["prompt_tokens"] for a in answers) <= whole
    assert all(a["prompt_tokens"] + a["cached_tokens"] == whole for a in answers)


def test_rows_beyond_the_memory_wait_their_turn(folder: Path) -> None:
    policy = TransformersPolicy(folder)
    expected = all_ids(policy.invoke([request(seeds=list(range(30)))]))
    batch = policy.model.engine._batch
    rows, batch._max_rows = batch._max_rows, 7
    try:
        assert all_ids(policy.invoke([request(seeds=list(range(30)))])) == expected
    finally:
        batch._max_rows = rows


def test_eviction_never_changes_results(folder: Path) -> None:
    policy = TransformersPolicy(folder)
    texts = [f"{i}+{i}={i}" for i in range(10)]

    def run() -> list[list[int]]:
        return all_ids(policy.invoke([request(t, seeds=[1, 2]) for t in texts]))

    expected = run()
    store = policy.model.engine._store
    limit = store.byte_limit
    try:
        for store.byte_limit in (0, 5_000, 20_000):
            assert run() == expected
            assert store.bytes <= store.byte_limit
    finally:
        store.byte_limit = limit


def test_threads_and_tasks_share_one_engine(policy: TransformersPolicy) -> None:
    texts = [f"{i}-{i}=" for i in range(8)]
    expected = all_ids([policy.invoke([request(text)])[0] for text in texts])
    with ThreadPoolExecutor(8) as pool:
        threads = list(pool.map(lambda text: policy.invoke([request(text)])[0], texts))

    async def tasks() -> list[list[Generation]]:
        return await asyncio.gather(
            *(policy.ainvoke([request(text)]) for text in texts)
        )

    assert all_ids(threads) == expected
    assert all_ids([answer[0] for answer in asyncio.run(tasks())]) == expected


def test_cancelling_frees_the_rows(policy: TransformersPolicy) -> None:
    batch = policy.model.engine._batch
    # No token ends these: nothing but the limit would.
    futures = [
        policy.submit([request(f"{i}=", seeds=list(range(50)), max_tokens=200)])
        for i in range(3)
    ]
    assert futures[1].cancel()
    with pytest.raises(CancelledError):
        futures[1].result()
    assert len(futures[0].result()[0]["samples"]) == 50
    assert len(futures[2].result()[0]["samples"]) == 50
    assert policy.invoke([request(max_tokens=1)])
    assert len(batch) == 0


def test_an_error_fails_its_batch_and_not_the_engine(
    policy: TransformersPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: RunningBatch) -> None:
        msg = "out of memory"
        raise RuntimeError(msg)

    with monkeypatch.context() as patch:
        patch.setattr(RunningBatch, "step", broken)
        with pytest.raises(RuntimeError, match="out of memory"):
            policy.invoke([request()])
    assert len(policy.invoke([request()])[0]["samples"]) == 1


def test_a_deadline_cuts_samples_as_length(policy: TransformersPolicy) -> None:
    late = policy.invoke([request(seeds=[1, 2], deadline=time.monotonic() - 1)])[0]
    assert late["samples"] == [Sample(steps=[], finish_reason="length")] * 2
    soon = policy.invoke(
        [
            request(
                "a",
                seeds=list(range(200)),
                max_tokens=240,
                deadline=time.monotonic() + 0.05,
            )
        ]
    )[0]
    cut = [s for s in soon["samples"] if s["finish_reason"] == "length"]
    assert cut
    assert all(len(ids(sample)) < 240 for sample in cut)


def test_the_window_cuts_and_refuses(folder: Path) -> None:
    policy = TransformersPolicy(folder)
    assert policy.context_window == 256
    nearly = "1" * 250
    answer = policy.invoke([request(nearly, seeds=list(range(20)), max_tokens=99)])[0]
    room = 256 - policy.count_prompt_tokens(question(nearly))
    assert max(len(ids(sample)) for sample in answer["samples"]) == room
    with pytest.raises(PromptTooLongError, match="leaves no room in the 256 tokens"):
        policy.invoke([request("1" * 300)])


def test_requests_that_want_nothing_get_nothing(policy: TransformersPolicy) -> None:
    assert policy.invoke([]) == []
    assert policy.invoke([request(n=0, seeds=[])])[0]["samples"] == []
    with pytest.raises(ValueError, match="as many seeds"):
        policy.invoke([request() | {"n": 2}])


def test_a_sliding_window_bounds_the_context(tmp_path: Path) -> None:
    save_model(tmp_path, "mistral", sliding_window=64)
    assert TransformersPolicy(tmp_path).context_window == 64


def test_samples_of_a_model_that_overflows_are_failed(tmp_path: Path) -> None:
    policy = TransformersPolicy(save_model(tmp_path))
    model: Any = policy.model.engine._batch._forward._model
    model.model.norm.weight.data.fill_(float("nan"))
    answer = policy.invoke([request(seeds=[1, 2])])[0]
    assert answer["samples"] == [Sample(steps=[], finish_reason="failed")] * 2


def test_attention_that_the_engine_cannot_compute_is_refused(tmp_path: Path) -> None:
    save_tokenizer(tmp_path, merged=True, letters=LETTERS)
    config = Gemma2Config(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        attn_logit_softcapping=1.0,
    )
    Gemma2ForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(ModelLoadError, match="attention with softcap"):
        TransformersPolicy(tmp_path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda f: (f / "model.safetensors").write_bytes(b"\x00" * 90), "cannot load"),
        (lambda f: (f / "model.safetensors").unlink(), "no file named"),
        (lambda f: (f / "config.json").write_text("{"), "config.json"),
        (lambda f: (f / "tokenizer.json").write_text("no"), "cannot load"),
    ],
)
def test_damaged_checkpoints_are_one_clear_line(
    tmp_path: Path, damage: Any, reason: str
) -> None:
    save_model(tmp_path)
    damage(tmp_path)
    with pytest.raises(ModelLoadError, match=reason) as caught:
        TransformersPolicy(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.__suppress_context__


def test_weights_that_lack_a_tensor_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_model(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    tensors.pop("model.norm.weight")
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelLoadError, match="lack 1 tensors"):
        TransformersPolicy(tmp_path)


def test_a_missing_folder_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="no such folder"):
        TransformersPolicy(tmp_path / "nothing")


def test_the_tokenizer_of_the_oracle_is_the_policys(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.encode("a 1\n\n") == [5, 26, 14, 28]
