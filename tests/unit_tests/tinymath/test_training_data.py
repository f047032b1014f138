"""Tokenizer, packing and the training targets, each against a value worked out here."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from langchain_tts.policies.transformers import TransformersPolicy
from langchain_tts.tinymath import fitting
from langchain_tts.tinymath.calibrate import fit_logistic, step_logprobs
from langchain_tts.tinymath.corpus import (
    IGNORED,
    Example,
    batches,
    pack,
    question_prompt,
)
from langchain_tts.tinymath.discrimination import within_problem_auc
from langchain_tts.tinymath.fitting import Schedule, fit
from langchain_tts.tinymath.generator import problems
from langchain_tts.tinymath.problem import Problem
from langchain_tts.tinymath.reviser_training import (
    conversation,
    edit_distance,
    reviser_examples,
)
from langchain_tts.tinymath.rollouts import Rollout, cached_rollouts
from langchain_tts.tinymath.tag_training import TagModel, deepened, tag_examples
from langchain_tts.tinymath.tokenizer import STEP_TAG, save_tokenizer
from langchain_tts.tinymath.train import (
    Shape,
    language_loss,
    new_llama,
    with_new_tokens,
)

Labelled = list[tuple[Problem, list[Rollout]]]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder)
    LlamaConfig().save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture
def tiny(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return new_llama(tokenizer, Shape(32, 1, 32))


@pytest.mark.parametrize(
    "text",
    [
        "12+7=19\n\n",
        "héé\n\n\n日本 \t x",
        "\x00\x7f",
        " - + ",
        "Tom  has 12 apples.",
        "🙂",
    ],
)
def test_any_text_survives_the_tokenizer(
    tokenizer: PreTrainedTokenizerFast, text: str
) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_digits_operators_and_the_delimiter_are_single_tokens(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    text = "1984*7=13888\n\n"
    pieces = [tokenizer.decode([i]) for i in tokenizer.encode(text)]
    assert pieces == [*"1984*7=13888", "\n\n"]


def test_the_chat_template_equals_the_training_prompt(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    chat = [{"role": "user", "content": "What is 3+4?"}]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
    assert ids == tokenizer.encode(question_prompt("What is 3+4?"))


def test_packing_keeps_every_example_whole_and_apart() -> None:
    rng = np.random.default_rng(0)
    examples = [
        Example(ids := rng.integers(1, 99, rng.integers(1, 20)).tolist(), ids)
        for _ in range(200)
    ]
    examples.append(Example([7] * 33, [7] * 33))  # does not fit: left out
    rows = pack(examples, 32)
    found = [
        ids[documents == number].tolist()
        for ids, documents in zip(rows.ids, rows.documents, strict=True)
        for number in range(1, documents.max() + 1)
    ]
    assert sorted(found) == sorted(e.ids for e in examples[:-1])
    assert (rows.labels[rows.documents == 0] == IGNORED).all()


def test_tokens_attend_within_their_own_chat_and_backwards_only() -> None:
    rows = pack([Example([1, 2], [1, 2]), Example([3, 4, 5], [3, 4, 5])], 6)
    mask = next(batches(rows, 1, seed=0)).mask[0, 0].int()
    expected = torch.tensor(
        [
            [1, 0, 0, 0, 0, 0],
            [1, 1, 0, 0, 0, 0],
            [0, 0, 1, 0, 0, 0],
            [0, 0, 1, 1, 0, 0],
            [0, 0, 1, 1, 1, 0],
            [0, 0, 0, 0, 0, 1],
        ],
        dtype=torch.int32,
    )
    assert torch.equal(mask, expected)


def test_skipping_batches_continues_the_same_order() -> None:
    rows = pack([Example([i], [i]) for i in range(1, 51)], 1)
    whole = [b.ids.tolist() for b in itertools.islice(batches(rows, 4, 1), 40)]
    rest = [b.ids.tolist() for b in itertools.islice(batches(rows, 4, 1, skip=17), 23)]
    assert whole[17:] == rest


def test_training_lowers_the_loss_and_resumes(
    tokenizer: PreTrainedTokenizerFast, tiny: LlamaForCausalLM, tmp_path: Path
) -> None:
    ids = tokenizer.encode("What is 3+4? 3+4=7\n\n")
    rows = pack([Example(ids, ids)] * 64, 32)
    schedule = Schedule(tokens=60 * 4 * 32, rows=4)
    loss = language_loss(tiny)
    batch = next(batches(rows, 4, 0))
    before = loss(batch.ids, batch.labels, batch.mask).item()
    fit(tiny, loss, rows, schedule, tmp_path / "run.pt")
    after = loss(batch.ids, batch.labels, batch.mask).item()
    assert after < before / 2
    weights = {k: v.clone() for k, v in tiny.state_dict().items()}
    # All steps are done: a second call loads the result and changes nothing.
    again = new_llama(tokenizer, Shape(32, 1, 32))
    fit(again, language_loss(again), rows, schedule, tmp_path / "run.pt")
    assert all(torch.equal(weights[k], v) for k, v in again.state_dict().items())


@pytest.fixture(scope="module")
def rollouts(tokenizer: PreTrainedTokenizerFast) -> Labelled:
    """Worked solutions, and copies with the first step's result off by one."""
    result = []
    for problem in itertools.islice(problems("train", seed=5), 12):
        rollouts_of_one = []
        for wrong in (False, True):
            steps = problem.steps
            if wrong:
                head, _, value = steps[0].partition("=")
                steps = [f"{head}={int(value) + 1}", *steps[1:]]
            ids = [tokenizer.encode(f"{s}\n\n") for s in steps]
            rollouts_of_one.append(
                Rollout(
                    steps,
                    ids,
                    [0.0] * len(ids),
                    complete=True,
                    first_wrong=0 if wrong else None,
                )
            )
        result.append((problem, rollouts_of_one))
    return result


def test_tags_are_labelled_from_the_first_wrong_step_on(
    tokenizer: PreTrainedTokenizerFast, rollouts: Labelled
) -> None:
    tag, plus, minus = tokenizer.convert_tokens_to_ids([STEP_TAG, "+", "-"])
    right, wrong = itertools.islice(tag_examples(tokenizer, rollouts), 2)
    for example, label in ((right, plus), (wrong, minus)):
        labels = [
            b for a, b in zip(example.ids, example.labels, strict=True) if a == tag
        ]
        assert labels == [label] * len(rollouts[0][0].steps)
        others = [
            b for a, b in zip(example.ids, example.labels, strict=True) if a != tag
        ]
        assert set(others) == {IGNORED}


def test_added_layers_begin_as_the_identity(tiny: LlamaForCausalLM) -> None:
    ids = torch.randint(0, 100, (2, 9))
    assert torch.allclose(tiny(ids).logits, deepened(tiny, 2)(ids).logits, atol=1e-5)


def test_the_teacher_reads_the_solution_as_if_it_had_no_tags(
    tokenizer: PreTrainedTokenizerFast, tiny: LlamaForCausalLM, rollouts: Labelled
) -> None:
    tag, plus, minus = tokenizer.convert_tokens_to_ids([STEP_TAG, "+", "-"])
    examples = list(tag_examples(tokenizer, rollouts))
    rows = pack(examples, 300)
    batch = next(batches(rows, 2, 0))
    model = TagModel(tiny, 0, tag=tag, plus=plus, minus=minus, distil=1.0)
    values, known = model.teacher_logprobs(batch.ids, batch.mask)
    row, number = 0, 0
    ids = batch.ids[row]
    documents = batch.mask[row, 0].int().argmax(1)  # first token each one sees
    for start in set(documents.tolist()):
        member = (documents == start) & (ids != tag)
        if (ids[documents == start] == 0).all():
            continue
        chat = ids[member]
        logprobs = tiny(chat[None]).logits[0].log_softmax(-1)
        expected = logprobs[:-1].gather(1, chat[1:, None])[:, 0].clamp(min=-6)
        assert torch.allclose(values[row][member][1:], expected, atol=1e-4)
        assert known[row][member].tolist() == [0.0] + [1.0] * (len(chat) - 1)
        number += 1
    assert number >= 2


def test_step_logprobs_equal_one_sequence_at_a_time(
    tokenizer: PreTrainedTokenizerFast, tiny: LlamaForCausalLM, rollouts: Labelled
) -> None:
    prompt = tokenizer.encode("question")
    for row, rollout in zip(
        step_logprobs(tiny, prompt, rollouts[0][1]), rollouts[0][1], strict=True
    ):
        ids = prompt + [i for step in rollout.token_ids for i in step]
        logprobs = tiny(torch.tensor([ids])).logits[0].detach().log_softmax(-1)
        each = [float(logprobs[t - 1, ids[t]]) for t in range(1, len(ids))]
        each = each[len(prompt) - 1 :]
        for step, value in zip(rollout.token_ids, row, strict=True):
            assert value == pytest.approx(sum(each[: len(step)]), abs=1e-3)
            each = each[len(step) :]


def test_a_reviser_chat_ends_with_a_right_answer_after_its_closest_wrong_one(
    tokenizer: PreTrainedTokenizerFast, rollouts: Labelled
) -> None:
    seen_revision = False
    for example, (problem, pair) in zip(
        reviser_examples(tokenizer, rollouts, seed=0), rollouts, strict=True
    ):
        kept = [i for i in example.labels if i != IGNORED]
        assert tokenizer.decode(kept) == problem.solution + "<|end|>"
        if "Try again" in tokenizer.decode(example.ids):
            seen_revision = True
            assert "\n\n".join(pair[1].steps) in tokenizer.decode(example.ids)
    assert seen_revision


@pytest.mark.parametrize(
    ("left", "right", "distance"),
    [
        ("kitten", "sitting", 3),
        ("", "abc", 3),
        ("same", "same", 0),
        ("12+3", "12-4", 2),
    ],
)
def test_edit_distance(left: str, right: str, distance: int) -> None:
    assert edit_distance(left, right) == distance


def test_within_problem_auc_worked_by_hand() -> None:
    # One problem. Position 0: right 0.9, 0.8 and wrong 0.85: one pair of two is won.
    # Position 1: right 0.5, wrong 0.5: half a pair. In all 1.5 of 3.
    solutions = [([0.9, 0.5], None), ([0.8, 0.5], 1), ([0.85, 0.1], 0)]
    value, _ = within_problem_auc([solutions])
    assert value == pytest.approx(0.5)


def test_within_problem_auc_ignores_how_hard_a_problem_is() -> None:
    easy = [([0.9], None), ([0.9], None)]
    hard = [([0.1], 0), ([0.1], 0)]
    with pytest.raises(ValueError, match="right and a wrong step"):
        within_problem_auc([easy, hard])


def test_the_logistic_fit_recovers_known_parameters() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 3, 50_000)
    y = (rng.random(50_000) < 1 / (1 + np.exp(-(1.5 * x - 0.7)))).astype(float)
    scale, offset = fit_logistic(x, y)
    assert scale == pytest.approx(1.5, abs=0.05)
    assert offset == pytest.approx(-0.7, abs=0.05)


def test_a_small_model_is_a_plain_llama(tiny: LlamaForCausalLM) -> None:
    assert isinstance(tiny, LlamaForCausalLM)
    assert tiny.config.tie_word_embeddings


def test_a_revision_is_asked_for_as_it_was_trained(
    tokenizer: PreTrainedTokenizerFast, rollouts: Labelled
) -> None:
    problem, pair = rollouts[0]
    wrong = "\n\n".join(pair[1].steps)
    chat = conversation(problem.question, [wrong])
    asked = tokenizer.apply_chat_template(
        chat, add_generation_prompt=True, return_dict=False
    )
    trained = next(
        example
        for example in reviser_examples(tokenizer, [rollouts[0]] * 9, seed=0)
        if "Try again" in tokenizer.decode(example.ids)
    )
    assert trained.ids[: len(asked)] == asked
    assert len(conversation("q", ["a"] * 9)) == 1 + 2 * 4


def test_an_interrupted_training_ends_like_one_that_was_not(
    tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fitting, "_SAVE_SECONDS", -1)
    rng = np.random.default_rng(0)
    ids = [rng.integers(10, 99, 20).tolist() for _ in range(40)]
    rows = pack([Example(one, one) for one in ids], 32)
    schedule = Schedule(tokens=20 * 4 * 32, rows=4)

    def train(name: str, stop_after: int | None) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = new_llama(tokenizer, Shape(32, 1, 32))
        loss = language_loss(model)
        calls = itertools.count(1)

        def interrupted(*batch: torch.Tensor) -> torch.Tensor:
            if next(calls) == stop_after:
                raise KeyboardInterrupt
            return loss(*batch)

        fit(model, interrupted, rows, schedule, tmp_path / name)
        return dict(model.state_dict())

    whole = train("whole.pt", None)
    with pytest.raises(KeyboardInterrupt):
        train("parts.pt", stop_after=9)
    parts = train("parts.pt", None)
    assert all(torch.equal(whole[name], value) for name, value in parts.items())


def test_rollouts_resume_after_a_half_written_line(
    tokenizer: PreTrainedTokenizerFast, tiny: LlamaForCausalLM, tmp_path: Path
) -> None:
    folder = tmp_path / "policy"
    tiny.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    policy = TransformersPolicy(folder)
    path = tmp_path / "rollouts.jsonl"
    first = list(cached_rollouts(path, policy, 3, 2, seed=0))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:2]) + lines[2][: len(lines[2]) // 2])
    again = list(cached_rollouts(path, policy, 3, 2, seed=0))
    assert [problem for problem, _ in again] == [problem for problem, _ in first]
    assert [[r.token_ids for r in rs] for _, rs in again] == [
        [r.token_ids for r in rs] for _, rs in first
    ]
    assert len(path.read_text().splitlines()) == 3


def test_new_tokens_begin_as_the_mean_of_the_old_ones(tiny: LlamaForCausalLM) -> None:
    old = tiny.get_input_embeddings().weight.detach().clone()
    ids = torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        before = tiny(ids).logits
        larger = with_new_tokens(tiny, len(old) + 3)
        after = larger(ids).logits
    weight = larger.get_input_embeddings().weight
    assert torch.equal(weight[: len(old)], old)
    assert torch.allclose(weight[len(old) :], old.mean(0).expand(3, -1))
    assert larger.lm_head.weight is weight
    assert torch.allclose(after[..., : len(old)], before, atol=1e-5)
    assert larger.config.vocab_size == len(old) + 3
