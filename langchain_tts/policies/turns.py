"""How policies of this process sample turns: one step with the whole text.

`logprob` is of the `token_ids` that were sampled, also where the text was written anew.

Where a turn has to be a call (`choice` is `any` or a tool's name), and nothing keeps a
model to a grammar, it can still be given the first tokens of a call.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from langchain_tts.policies._outputs import read_samples
from langchain_tts.policies.base import Sample, Step
from langchain_tts.search.turns import tools_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tts.engines.tokens import ModelTokenizer
    from langchain_tts.policies._outputs import Writing
    from langchain_tts.policies.base import GenerationRequest
    from langchain_tts.policies.turns_forms import CallForm
    from langchain_tts.search.turns import TurnRule

_CALL = '<tool_call>\n{"name": '
_OTHER_FORM = "<function="
"""In the templates of models that write something else than JSON between the tags."""


def writes_hermes(tokens: ModelTokenizer) -> bool:
    """Whether a model writes its calls as Hermes models do, by its chat template."""
    template = str(tokens.tokenizer.chat_template)
    return "<tool_call>" in template and _OTHER_FORM not in template


def opening(turn: TurnRule, tokens: ModelTokenizer) -> list[int]:
    """Tokens that a turn is to begin with so that it becomes a call.

    Args:
        turn: What the turn may be.
        tokens: The model's tokenizer.

    Returns:
        Nothing where the turn may be a text, or where the model writes its calls in
        another form than we read.
    """
    if turn["choice"] in {"auto", "none"} or not writes_hermes(tokens):
        return []
    if turn["choice"] == "any":
        return tokens.encode(_CALL + '"')
    # The space behind it is the model's, which may write one token with what follows.
    return tokens.encode(f'{_CALL}{json.dumps(turn["choice"])}, "arguments":')


def read_requests(
    tokens: ModelTokenizer,
    form: CallForm,
    requests: Sequence[tuple[GenerationRequest, Sequence[Writing]]],
) -> list[list[Sample]]:
    """The samples of each request, as steps or as turns.

    Args:
        tokens: The model's tokenizer.
        form: How the model writes calls.
        requests: Each with what was written for it.
    """
    answers = iter(
        read_samples(
            tokens,
            [
                (request["by_step"], samples)
                for request, samples in requests
                if "turn" not in request
            ],
        )
    )
    return [
        _turns(tokens, form, request, samples) if "turn" in request else next(answers)
        for request, samples in requests
    ]


def _turns(
    tokens: ModelTokenizer,
    form: CallForm,
    request: GenerationRequest,
    samples: Sequence[Writing],
) -> list[Sample]:
    """Samples that are one step each; one without tokens has no step."""
    turns = [sample.ids for sample in samples]
    texts = form.texts(tokens, turns, tools_of(request["messages"]))
    return [
        Sample(
            steps=_steps(sample, text) if sample.ids else [],
            finish_reason=sample.finish_reason,
        )
        for sample, text in zip(samples, texts, strict=True)
    ]


def _steps(sample: Writing, text: str) -> list[Step]:
    logprob = sum(sample.logprobs)
    return [Step(text=text, token_ids=sample.ids, logprob=logprob)]
