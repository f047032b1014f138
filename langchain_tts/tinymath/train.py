"""Train the embedded models: `python -m langchain_tts.tinymath.train MODEL`.

`all` trains every model in the order in which they build on each other. A run that was
stopped goes on where it was when the same command is given again.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from langchain_tts.policies.transformers import TransformersPolicy
from langchain_tts.tinymath import WEIGHTS
from langchain_tts.tinymath.calibrate import calibrate, calibrate_turns
from langchain_tts.tinymath.corpus import Rows, pack, policy_examples
from langchain_tts.tinymath.fitting import Schedule, fit
from langchain_tts.tinymath.reviser_training import reviser_examples
from langchain_tts.tinymath.rollouts import cached_rollouts
from langchain_tts.tinymath.solver_targets import solver_examples
from langchain_tts.tinymath.tag_training import TagModel, tag_examples
from langchain_tts.tinymath.tokenizer import (
    END,
    PAD,
    STEP_TAG,
    WINDOW,
    save_tokenizer,
    solver_tokenizer,
    tool_tokenizer,
)
from langchain_tts.tinymath.tool_chats import tool_examples

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from transformers import PreTrainedTokenizerFast

    from langchain_tts.tinymath.corpus import Example
    from langchain_tts.tinymath.fitting import Loss
    from langchain_tts.tinymath.problem import Problem
    from langchain_tts.tinymath.rollouts import Rollout


@dataclass(frozen=True)
class Shape:
    """Size of a Llama model; heads are 32 wide."""

    width: int
    layers: int
    mlp: int


@dataclass(frozen=True)
class PolicyRecipe:
    """A language model trained from random weights on worked solutions."""

    shape: Shape
    schedule: Schedule


@dataclass(frozen=True)
class TagRecipe:
    """A tag PRM: what it starts from and how it is trained."""

    start: str
    extra_layers: int
    distil: float
    schedule: Schedule


@dataclass(frozen=True)
class ToolRecipe:
    """A policy that goes on to learn tool calls."""

    start: str
    schedule: Schedule


POLICIES = {
    "policy": PolicyRecipe(Shape(64, 2, 128), Schedule(16_000_000)),
    "policy-small": PolicyRecipe(Shape(32, 2, 64), Schedule(6_000_000)),
    "policy-large": PolicyRecipe(Shape(128, 5, 384), Schedule(6_000_000)),
    "verifier": PolicyRecipe(Shape(96, 4, 256), Schedule(20_000_000)),
}
TAG_PRMS = {
    "tag-prm": TagRecipe(
        "verifier", 2, 1.0, Schedule(7_000_000, matrix_rate=0.01, other_rate=2e-3)
    ),
    "weak-prm": TagRecipe("policy-small", 0, 0.0, Schedule(1_000_000)),
}
TOOL_MODELS = {
    "tool-policy": ToolRecipe(
        "policy", Schedule(4_000_000, rows=8, matrix_rate=0.01, other_rate=2e-3)
    ),
    "tool-verifier": ToolRecipe(
        "verifier", Schedule(4_500_000, rows=8, matrix_rate=0.01, other_rate=2e-3)
    ),
}
REVISER = Schedule(12_000_000, rows=6, matrix_rate=0.01, other_rate=2e-3)
SOLVER = Schedule(8_000_000, rows=8, matrix_rate=0.01, other_rate=2e-3)
MODELS = (*POLICIES, *TAG_PRMS, "reviser", *TOOL_MODELS, "solver-policy")

_POLICY_ROW, _TAG_ROW, _REVISER_ROW, _TOOL_ROW = 256, 256, 640, 512
_SOLVER_ROW = 384
"""Tokens a packed row."""
_EXAMPLES, _TOOL_EXAMPLES = 400_000, 150_000
_ROLLOUT_PROBLEMS, _ROLLOUTS_EACH, _ROLLOUT_SEED = 16_000, 6, 1


@dataclass(frozen=True)
class Job:
    """Where one training run reads and writes."""

    name: str
    work: Path
    out: Path
    seed: int

    @property
    def checkpoint(self) -> Path:
        """File of the training state."""
        return self.work / f"{self.name}.pt"

    @property
    def device(self) -> torch.device:
        """A GPU where there is one."""
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def train(job: Job) -> None:
    """Train one model and write it to its folder."""
    torch.manual_seed(job.seed)
    if job.name in POLICIES:
        _train_policy(job)
    elif job.name in TAG_PRMS:
        _train_tag_prm(job)
    elif job.name in TOOL_MODELS:
        _train_tool_model(job)
    elif job.name == "solver-policy":
        _train_solver_policy(job)
    else:
        _train_reviser(job)
    if job.name in ("verifier", "policy-large"):
        calibrate(job.out / "policy", job.out / job.name)
    if job.name == "tool-verifier":
        calibrate_turns(job.out / "tool-policy", job.out / "tool-verifier")


def _train_policy(job: Job) -> None:
    recipe = POLICIES[job.name]
    tokenizer = load_tokenizer(job.work)
    rows = _cached_rows(
        job.work / f"rows-{job.seed}.npz",
        policy_examples(tokenizer, _EXAMPLES, job.seed),
        _POLICY_ROW,
    )
    model = new_llama(tokenizer, recipe.shape).to(job.device)
    loss = language_loss(model)
    _fit_and_save(job, model, loss, rows, recipe.schedule, tokenizer=tokenizer)


def _train_tag_prm(job: Job) -> None:
    recipe = TAG_PRMS[job.name]
    tokenizer = load_tokenizer(job.work)
    rows = pack(tag_examples(tokenizer, _rollouts(job)), _TAG_ROW)
    start = LlamaForCausalLM.from_pretrained(job.out / recipe.start).float()
    tag, plus, minus = tokenizer.convert_tokens_to_ids([STEP_TAG, "+", "-"])
    module = TagModel(
        start.to(job.device),
        recipe.extra_layers,
        tag=tag,
        plus=plus,
        minus=minus,
        distil=recipe.distil,
    ).to(job.device)
    _fit_and_save(
        job,
        module.student,
        module.loss,
        rows,
        recipe.schedule,
        tokenizer=tokenizer,
        trained=module,
    )
    config = {"format": "tinymath-tag"}
    (job.out / job.name / "prm_config.json").write_text(json.dumps(config) + "\n")


def _train_reviser(job: Job) -> None:
    tokenizer = load_tokenizer(job.work)
    examples = reviser_examples(tokenizer, _rollouts(job), job.seed)
    rows = pack(examples, _REVISER_ROW)
    model = LlamaForCausalLM.from_pretrained(job.out / "policy").float().to(job.device)
    loss = language_loss(model)
    _fit_and_save(job, model, loss, rows, REVISER, tokenizer=tokenizer)


def _train_tool_model(job: Job) -> None:
    recipe = TOOL_MODELS[job.name]
    start = job.out / recipe.start
    tokenizer = tool_tokenizer(AutoTokenizer.from_pretrained(start))
    rows = _cached_rows(
        job.work / f"tool-rows-{job.seed}.npz",
        tool_examples(tokenizer, _TOOL_EXAMPLES, job.seed),
        _TOOL_ROW,
    )
    model = with_new_tokens(
        LlamaForCausalLM.from_pretrained(start).float(), len(tokenizer)
    ).to(job.device)
    loss = language_loss(model)
    _fit_and_save(job, model, loss, rows, recipe.schedule, tokenizer=tokenizer)


def _train_solver_policy(job: Job) -> None:
    start = job.out / "policy"
    tokenizer = solver_tokenizer(AutoTokenizer.from_pretrained(start))
    rows = _cached_rows(
        job.work / f"solver-rows-{job.seed}.npz",
        solver_examples(tokenizer, _TOOL_EXAMPLES, job.seed),
        _SOLVER_ROW,
    )
    model = with_new_tokens(
        LlamaForCausalLM.from_pretrained(start).float(), len(tokenizer)
    ).to(job.device)
    loss = language_loss(model)
    _fit_and_save(job, model, loss, rows, SOLVER, tokenizer=tokenizer)


def with_new_tokens(model: LlamaForCausalLM, size: int) -> LlamaForCausalLM:
    """Enlarge a vocabulary; a new token begins as the mean of the old ones."""
    old = model.get_input_embeddings().weight.data.clone()
    model.resize_token_embeddings(size, mean_resizing=False)
    model.get_input_embeddings().weight.data[len(old) :] = old.mean(0)
    return model


def _fit_and_save(
    job: Job,
    model: LlamaForCausalLM,
    loss: Loss,
    rows: Rows,
    schedule: Schedule,
    *,
    tokenizer: PreTrainedTokenizerFast,
    trained: torch.nn.Module | None = None,
) -> None:
    """Fit `trained` (by default `model` itself) and write `model` in bfloat16."""
    module = trained or model
    run = torch.compile(loss)
    minutes = fit(module, run, rows, schedule, job.checkpoint, seed=job.seed)
    folder = job.out / job.name
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    record = {
        "model": job.name,
        "parameters": model.num_parameters(),
        "seed": job.seed,
        "tokens": schedule.tokens,
        "minutes": round(minutes, 1),
        "device": job.device.type,
        "threads": torch.get_num_threads(),
    }
    (folder / "training.json").write_text(json.dumps(record, indent=2) + "\n")


def new_llama(tokenizer: PreTrainedTokenizerFast, shape: Shape) -> LlamaForCausalLM:
    """A Llama with random weights."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.width // 32,
        intermediate_size=shape.mlp,
        max_position_embeddings=WINDOW,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids(END),
        pad_token_id=tokenizer.convert_tokens_to_ids(PAD),
    )
    return LlamaForCausalLM(config)


def language_loss(model: LlamaForCausalLM) -> Loss:
    """Mean cross-entropy of the labelled tokens."""

    def loss(
        ids: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        hidden = model.model(
            input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False
        ).last_hidden_state
        logits = torch.nn.functional.linear(hidden[:, :-1], model.lm_head.weight)
        return torch.nn.functional.cross_entropy(
            logits.flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=-100
        )

    return loss


def load_tokenizer(work: Path) -> PreTrainedTokenizerFast:
    """The tokenizer, trained on first use."""
    folder = work / "tokenizer"
    if not (folder / "tokenizer.json").exists():
        save_tokenizer(folder)
    return AutoTokenizer.from_pretrained(folder)


def _cached_rows(path: Path, examples: Iterable[Example], length: int) -> Rows:
    """Training rows, made once (about two minutes)."""
    if not path.exists():
        pack(examples, length).save(path)
    return Rows.load(path)


def _rollouts(job: Job) -> Iterator[tuple[Problem, list[Rollout]]]:
    """The default policy's samples of training problems, made once (minutes)."""
    return cached_rollouts(
        job.work / "rollouts.jsonl",
        TransformersPolicy(str(job.out / "policy")),
        _ROLLOUT_PROBLEMS,
        _ROLLOUTS_EACH,
        _ROLLOUT_SEED,
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m langchain_tts.tinymath.train", description=__doc__
    )
    parser.add_argument("model", choices=[*MODELS, "all"])
    parser.add_argument("--work", type=Path, default=Path("build/tinymath"))
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    arguments = parser.parse_args(argv)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    names = MODELS if arguments.model == "all" else (arguments.model,)
    for name in names:
        train(Job(name, arguments.work, arguments.out, arguments.seed))


if __name__ == "__main__":
    main()
