"""Train the tag PRM: P(`+`) against P(`-`) at the tag that follows each step.

It starts from the implicit PRM's verifier, with layers on top that begin as the
identity. To see an error, the model must compare what it would have written with what
is written; step labels alone do not find that circuit in reasonable time. So a second
loss teaches it, at every token, how likely the verifier found that token (distillation
of the implicit PRM). Its head is dropped after training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from langchain_tts.tinymath.corpus import IGNORED, Example, question_prompt
from langchain_tts.tinymath.tokenizer import STEP_TAG

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from transformers import PreTrainedTokenizerFast

    from langchain_tts.tinymath.problem import Problem
    from langchain_tts.tinymath.rollouts import Rollout

_FLOOR = -6.0
"""Log-probabilities below this are equally wrong."""


def tag_examples(
    tokenizer: PreTrainedTokenizerFast,
    labelled: Iterable[tuple[Problem, list[Rollout]]],
) -> Iterator[Example]:
    """Whole solutions, right or wrong, with a labelled tag after each step.

    Wrong solutions are kept whole: cut after the error, a tag at the end would always
    be negative and a finished answer always right.
    """
    tag, plus, minus = tokenizer.convert_tokens_to_ids([STEP_TAG, "+", "-"])
    for problem, rollouts in labelled:
        prompt = tokenizer.encode(question_prompt(problem.question))
        for rollout in rollouts:
            ids, labels = list(prompt), [IGNORED] * len(prompt)
            for index, step in enumerate(rollout.token_ids):
                wrong = rollout.first_wrong is not None and index >= rollout.first_wrong
                ids += [*step, tag]
                labels += [IGNORED] * len(step) + [minus if wrong else plus]
            yield Example(ids, labels)


class TagModel(torch.nn.Module):
    """The tag PRM in training, with its teacher and the distillation head.

    Args:
        start: The language model that it starts from.
        extra_layers: Layers added on top.
        tag: Id of the step tag.
        plus: Id of the label of a right step.
        minus: Id of the label of a wrong step.
        distil: Weight of the distillation loss; 0 trains on the labels alone.
    """

    def __init__(
        self,
        start: LlamaForCausalLM,
        extra_layers: int,
        *,
        tag: int,
        plus: int,
        minus: int,
        distil: float,
    ) -> None:
        super().__init__()
        self.student = deepened(start, extra_layers)
        self.surprise = torch.nn.Linear(start.config.hidden_size, 1)
        self.tag, self.labels, self.distil = tag, (minus, plus), distil
        # A list hides the teacher from `parameters()`: it is not trained.
        self._teacher = [start.requires_grad_(requires_grad=False)]

    def loss(
        self, ids: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Cross-entropy at the tags, plus the distillation loss at all other tokens."""
        hidden = _hidden(self.student, ids, mask)
        columns = self.student.lm_head.weight[list(self.labels)]
        logits = functional.linear(hidden, columns).float()
        wanted = torch.where(
            labels == IGNORED, IGNORED, (labels == self.labels[1]).long()
        )
        step_loss = functional.cross_entropy(
            logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED
        )
        if not self.distil:
            return step_loss
        with torch.no_grad():
            target, known = self.teacher_logprobs(ids, mask)
        guess = self.surprise(hidden).squeeze(-1).float()
        error = functional.smooth_l1_loss(guess, target, reduction="none")
        return step_loss + self.distil * (error * known).sum() / known.sum()

    def teacher_logprobs(
        self, ids: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The teacher's log-probability of each token, and where it is defined.

        The teacher has never seen a tag: its input is closed up over them.
        """
        is_tag = ids == self.tag
        order = torch.argsort(is_tag.long(), dim=1, stable=True)
        closed = ids.gather(1, order)
        length = ids.shape[1]
        rows = mask[:, 0].gather(1, order[:, :, None].expand(-1, -1, length))
        visible = rows.gather(2, order[:, None, :].expand(-1, length, -1))
        # A tag sees itself alone, so that no row of the attention is empty.
        tags_last = is_tag.gather(1, order)
        own = torch.eye(length, dtype=torch.bool, device=ids.device)
        visible = (visible & ~tags_last[:, None, :] & ~tags_last[:, :, None]) | own
        teacher = self._teacher[0]
        hidden = _hidden(teacher, closed, visible[:, None])
        logits = functional.linear(hidden[:, :-1], teacher.lm_head.weight).float()
        chosen = closed[:, 1:, None]
        logprobs = logits.gather(2, chosen).squeeze(2) - logits.logsumexp(2)
        # Defined where the previous token belongs to the same chat.
        linked = visible[:, torch.arange(1, length), torch.arange(length - 1)]
        values = functional.pad(logprobs.clamp(min=_FLOOR), (1, 0))
        known = functional.pad(linked.float(), (1, 0))
        back = torch.empty_like(values)
        back.scatter_(1, order, values)
        back_known = torch.empty_like(known)
        back_known.scatter_(1, order, known)
        return back, back_known


def _hidden(
    model: LlamaForCausalLM, ids: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    output = model.model(
        input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False
    )
    return cast("torch.Tensor", output.last_hidden_state)


def deepened(model: LlamaForCausalLM, extra_layers: int) -> LlamaForCausalLM:
    """A copy of a Llama with layers on top that begin as the identity."""
    settings = model.config.to_dict()
    settings["num_hidden_layers"] += extra_layers
    deeper = LlamaForCausalLM(LlamaConfig(**settings))
    deeper.load_state_dict(model.state_dict(), strict=False)
    for layer in deeper.model.layers[model.config.num_hidden_layers :]:
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
        torch.nn.init.zeros_(layer.mlp.down_proj.weight)
    return deeper
