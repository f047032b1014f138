"""The implicit PRM against its formula, computed by plain forward passes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from langchain_tts.policies.transformers import TransformersPolicy
from langchain_tts.rewards import PromptTooLongError
from langchain_tts.rewards.base import ScoreRequest
from langchain_tts.rewards.implicit import ImplicitPRM, ModelMismatchError
from tests.unit_tests.tiny_models import LETTERS, question, request, save_model

SCALE, OFFSET = 0.3, 0.5


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    parent = tmp_path_factory.mktemp("models")
    return (
        save_model(parent / "policy", seed=1),
        save_model(parent / "verifier", "qwen2", seed=2),
    )


@pytest.fixture(scope="module")
def trajectories(folders: tuple[Path, Path]) -> list[ScoreRequest]:
    """Whole samples of the policy with at least two steps."""
    policy = TransformersPolicy(folders[0])
    answer = policy.invoke([request(seeds=list(range(60)), max_tokens=60)])[0]
    return [
        ScoreRequest(
            messages=question(),
            steps=[step["text"] for step in sample["steps"]],
            token_ids=[step["token_ids"] for step in sample["steps"]],
            logprobs=[step["logprob"] for step in sample["steps"]],
            new=len(sample["steps"]),
        )
        for sample in answer["samples"]
        if len(sample["steps"]) > 1
    ]


def verifier(folders: tuple[Path, Path], **settings: Any) -> ImplicitPRM:
    return ImplicitPRM(folders[1], scale=SCALE, offset=OFFSET, **settings)


def plain_sums(model: Any, prompt: list[int], steps: list[list[int]]) -> list[float]:
    """Log-probability of each step by one plain forward pass."""
    new = [token for step in steps for token in step]
    with torch.inference_mode():
        logits = model(torch.tensor([prompt + new])).logits[0].double()
    rows = logits.log_softmax(dim=-1)[len(prompt) - 1 : -1]
    chosen = iter(rows[range(len(new)), new].tolist())
    return [sum(next(chosen) for _ in step) for step in steps]


def first_steps(whole: ScoreRequest, count: int, new: int) -> ScoreRequest:
    return ScoreRequest(
        messages=whole["messages"],
        steps=whole["steps"][:count],
        token_ids=whole["token_ids"][:count],
        logprobs=whole["logprobs"][:count],
        new=new,
    )


def test_scores_follow_the_formula(
    folders: tuple[Path, Path], trajectories: list[ScoreRequest]
) -> None:
    prm = verifier(folders)
    plain = AutoModelForCausalLM.from_pretrained(folders[1], dtype=torch.float32)
    prompt = prm.model.tokens.chat_ids(question())
    for whole, answer in zip(trajectories, prm.invoke(trajectories), strict=True):
        ratio = 0.0
        sums = plain_sums(plain, prompt, whole["token_ids"])
        assert len(answer["scores"]) == len(sums)
        for own, policy, score in zip(
            sums, whole["logprobs"], answer["scores"], strict=True
        ):
            ratio += own - policy
            expected = 1 / (1 + math.exp(-(SCALE * ratio + OFFSET)))
            assert score == pytest.approx(expected, abs=1e-4)


def test_step_by_step_equals_all_at_once_and_computes_each_token_once(
    tmp_path: Path, trajectories: list[ScoreRequest]
) -> None:
    def fresh(name: str) -> ImplicitPRM:
        folder = save_model(tmp_path / name, seed=2)
        return ImplicitPRM(folder, scale=SCALE, offset=OFFSET)

    whole = fresh("whole").invoke(trajectories)
    prm = fresh("steps")
    prompt = len(prm.model.tokens.chat_ids(question()))
    scores: list[list[float]] = [[] for _ in trajectories]
    computed = 0
    for count in range(1, max(len(t["steps"]) for t in trajectories) + 1):
        live = [i for i, t in enumerate(trajectories) if len(t["steps"]) >= count]
        answers = prm.invoke([first_steps(trajectories[i], count, 1) for i in live])
        for i, answer in zip(live, answers, strict=True):
            scores[i] += answer["scores"]
            computed += answer["computed_tokens"]
    for one, answer in zip(scores, whole, strict=True):
        assert one == pytest.approx(answer["scores"], abs=1e-4)
    # Distinct prefixes of tokens, without each trajectory's last token (an output).
    prefixes = set()
    for trajectory in trajectories:
        ids = [token for step in trajectory["token_ids"] for token in step]
        prefixes |= {tuple(ids[:end]) for end in range(1, len(ids))}
    assert computed == prompt + len(prefixes)
    assert sum(a["computed_tokens"] for a in whole) == computed


def test_what_was_scored_is_not_computed_again(
    folders: tuple[Path, Path], trajectories: list[ScoreRequest]
) -> None:
    prm = verifier(folders)
    first = prm.invoke(trajectories)
    again = prm.invoke(trajectories)
    assert [a["scores"] for a in again] == [a["scores"] for a in first]
    assert all(a["computed_tokens"] == 0 for a in again)


def test_the_oldest_steps_are_dropped_when_the_window_is_full(tmp_path: Path) -> None:
    prm = ImplicitPRM(
        save_model(tmp_path, window=32, seed=2), scale=SCALE, offset=OFFSET
    )
    prompt = prm.model.tokens.chat_ids(question("1+1="))
    steps = [prm.model.tokens.encode(f"{i}{i}+1={i}\n\n") for i in range(6)]
    sizes = [len(step) for step in steps]
    whole = ScoreRequest(
        messages=question("1+1="),
        steps=[f"{i}{i}+1={i}" for i in range(6)],
        token_ids=steps,
        logprobs=[-3.0] * 6,
        new=6,
    )
    answer = prm.invoke([whole])[0]
    # The window holds 32 inputs; the last token is an output only.
    fit = (32 + 1 - len(prompt)) // sizes[0]
    assert sizes == [sizes[0]] * 6
    assert answer["dropped_steps"] == 6 - fit
    plain = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    for end, score in enumerate(answer["scores"], start=1):
        kept = steps[max(0, end - fit) : end]
        ratio = sum(plain_sums(plain, prompt, kept)) + 3.0 * len(kept)
        expected = 1 / (1 + math.exp(-(SCALE * ratio + OFFSET)))
        assert score == pytest.approx(expected, abs=1e-4)
    assert prm.invoke([first_steps(whole, 6, 1)])[0]["scores"] == pytest.approx(
        answer["scores"][-1:], abs=1e-4
    )
    with pytest.raises(PromptTooLongError, match="one step"):
        prm.invoke([whole | {"messages": question("1" * 30)}])


def test_a_policy_with_other_tokens_is_refused(
    tmp_path: Path, trajectories: list[ScoreRequest]
) -> None:
    folder = save_model(tmp_path, letters=LETTERS[::-1])
    prm = ImplicitPRM(folder, scale=1.0, offset=0.0)
    with pytest.raises(ModelMismatchError, match="different tokenizers"):
        prm.invoke(trajectories[:1])


def test_texts_alone_are_read_by_the_reference_too(folders: tuple[Path, Path]) -> None:
    prm = verifier(folders, reference=folders[0])
    steps = ["1+2=3", "3+4=7"]
    scores = prm.as_tool().invoke({"question": "12+34=", "steps": steps})
    prompt = prm.model.tokens.chat_ids(question())
    ids = [prm.model.tokens.encode("1+2=3\n\n"), prm.model.tokens.encode("3+4=7")]
    sums = [
        plain_sums(
            AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
            prompt,
            ids,
        )
        for folder in folders
    ]
    ratio = 0.0
    for policy, own, score in zip(*sums, scores, strict=True):
        ratio += own - policy
        expected = 1 / (1 + math.exp(-(SCALE * ratio + OFFSET)))
        assert score == pytest.approx(expected, abs=1e-4)


async def test_the_tool_works_in_a_running_loop(folders: tuple[Path, Path]) -> None:
    tool = verifier(folders, reference=folders[0]).as_tool()
    values = {"question": "12+34=", "steps": ["1+2=3"]}
    assert await tool.ainvoke(values) == tool.invoke(values)


def test_texts_alone_need_a_reference(folders: tuple[Path, Path]) -> None:
    tool = verifier(folders).as_tool()
    with pytest.raises(ModelMismatchError, match="reference"):
        tool.invoke({"question": "1+1=", "steps": ["2"]})


def test_more_new_steps_than_there_are_is_an_error(
    folders: tuple[Path, Path], trajectories: list[ScoreRequest]
) -> None:
    with pytest.raises(ValueError, match="5 new steps"):
        verifier(folders).invoke([first_steps(trajectories[0], 1, 5)])
