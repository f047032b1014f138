"""The implicit PRM: a better model's log-likelihood ratio to the policy."""

from __future__ import annotations

from concurrent.futures import Future
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from langchain_tts.engines.errors import ModelLoadError
from langchain_tts.engines.loading import LoadedModel, load
from langchain_tts.policies.base import STEP_DELIMITER
from langchain_tts.rewards.base import RewardModel, ScoreRequest, Scores
from langchain_tts.rewards.formats import CONFIG
from langchain_tts.rewards.logistic import logistic
from langchain_tts.rewards.step_logprobs import StepLogprobs, Trajectory
from langchain_tts.rewards.window import Span, spans
from langchain_tts.search.turns import read_turn, tools_of, write_turn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class ModelMismatchError(ValueError):
    """A policy and a verifier that do not speak the same tokens."""


class _Plan(NamedTuple):
    """The trajectories that answer one request."""

    request: ScoreRequest
    parts: list[tuple[Span, Trajectory]]


class ImplicitPRM(RewardModel):
    """Scores a prefix by how much better the verifier likes it than the policy does.

    sigmoid(scale x sum over steps of (log p_verifier - log p_policy) + offset), after
    Yuan et al. 2024 (arXiv 2412.01981): the ratio is the process reward, scale and
    offset map it to a probability. The policy's term comes with the request; only the
    newest step is computed by the verifier. Both must have the same tokens, which is
    checked on every step: its ids must spell its text in the verifier's tokenizer.

    Steps that were dropped because they do not fit count in neither term.

    A turn that may call tools is one step. Its last token is the end of the answer:
    that a turn makes too few calls is something a verifier can see.

    Args:
        source: A folder in Hugging Face format, or a model in the local cache.
        scale: Of the log-likelihood ratio.
        offset: Added to it, before the sigmoid.
        reference: The policy's folder or name in the local cache, for requests that
            bring texts alone; None: such requests are refused.
        turns: Whether both models were trained on conversations with tools.
        name: What the user asked for; the folder if None.

    Raises:
        ModelLoadError: If the files are missing or damaged.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        scale: float,
        offset: float,
        reference: str | Path | None = None,
        turns: bool = False,
        name: str | None = None,
    ) -> None:
        """Load the verifier, or share the one that this process has loaded."""
        self.model: LoadedModel = load(source)
        self.name = str(source) if name is None else name
        self.num_parameters = self.model.num_parameters
        self.scores_turns = turns
        self._scale = scale
        self._offset = offset
        self._reference = reference
        self._steps = StepLogprobs(self.model)

    @classmethod
    def from_config(cls, source: str, config: dict[str, Any], *, name: str) -> Self:
        """Load the verifier that a folder's configuration describes.

        Raises:
            ModelLoadError: If it lacks the calibration.
        """
        try:
            scale, offset = float(config["scale"]), float(config["offset"])
        except (KeyError, TypeError, ValueError):
            msg = f'{source}/{CONFIG} must give the numbers "scale" and "offset"'
            raise ModelLoadError(msg) from None
        reference = config.get("reference")
        folder = Path(source).expanduser()
        return cls(
            folder,
            scale=scale,
            offset=offset,
            # The policy it was calibrated with lies beside it.
            reference=folder.parent / reference if reference else None,
            turns=bool(config.get("turns")),
            name=name,
        )

    def submit(self, requests: Sequence[ScoreRequest]) -> Future[list[Scores]]:
        """Start scoring.

        Raises:
            ModelMismatchError: If the policy's tokens are not the verifier's, or if a
                request brings no log-probabilities and there is no reference.
            PromptTooLongError: If a question and a single step do not fit.
            ValueError: If more new steps are asked for than there are.
        """
        prepared = [self._with_ids(request) for request in requests]
        self._check_tokens(prepared)
        if all(request["logprobs"] or not request["steps"] for request in prepared):
            return self._score(prepared)
        return self._score_with_reference(prepared)

    @cached_property
    def _reference_steps(self) -> StepLogprobs:
        """The policy as a reader of texts that it did not write."""
        if self._reference is None:
            msg = (
                f"verifier {self.name!r} compares with the policy's log-probabilities, "
                "which this request does not bring; name the policy's folder as "
                '"reference" in prm_config.json'
            )
            raise ModelMismatchError(msg)
        reference = load(self._reference)
        own = self.model.tokens.tokenizer.get_vocab()
        if not reference.tokens.tokenizer.get_vocab().items() <= own.items():
            msg = (
                f"verifier {self.name!r} and its reference {str(self._reference)!r} "
                "have different vocabularies; an implicit PRM needs the policy's own"
            )
            raise ModelMismatchError(msg)
        return StepLogprobs(reference)

    def _with_ids(self, request: ScoreRequest) -> ScoreRequest:
        """Write steps that are known as text alone in tokens."""
        if any(request["token_ids"]):
            return request
        texts = [text + STEP_DELIMITER for text in request["steps"][:-1]]
        texts += request["steps"][-1:]
        ids = [self.model.tokens.encode(text) for text in texts]
        # Whether a step ends the answer is not known, so nothing follows it. A turn
        # always does.
        if ids and self._is_turn(request):
            ids[-1].append(self.model.tokens.tokenizer.eos_token_id)
        # A log-probability is one of token ids: without these there is none either.
        return ScoreRequest(**{**request, "token_ids": ids, "logprobs": []})

    def _check_tokens(self, requests: Sequence[ScoreRequest]) -> None:
        """Make sure that the policy's ids mean the same to the verifier.

        Raises:
            ModelMismatchError: If a step's ids spell another text.
        """
        for text, own in self._spelled(requests):
            if text != own:
                msg = (
                    f"the policy's step {text!r} reads {own!r} in the tokens of "
                    f"verifier {self.name!r}: they have different tokenizers; use a "
                    "policy with the verifier's tokenizer or a PRM of another kind"
                )
                raise ModelMismatchError(msg)

    def _spelled(self, requests: Sequence[ScoreRequest]) -> Iterator[tuple[str, str]]:
        """Each step's text, and what its ids spell."""
        steps: list[tuple[str, list[int]]] = []
        turns: list[tuple[str, list[int]]] = []
        for request in requests:
            pairs = zip(request["steps"], request["token_ids"], strict=True)
            (turns if self._is_turn(request) else steps).extend(pairs)
        tokens = self.model.tokens
        read = tokens.step_texts([ids for _, ids in steps])
        for (text, _), own in zip(steps, read, strict=True):
            yield text.strip("\n"), own
        for text, ids in turns:
            # Who parses calls writes them anew, with spaces of its own.
            yield _rewritten(text), _rewritten(*tokens.turn_texts([ids]))

    def _is_turn(self, request: ScoreRequest) -> bool:
        return self.scores_turns and bool(tools_of(request["messages"]))

    def _score_with_reference(
        self, requests: list[ScoreRequest]
    ) -> Future[list[Scores]]:
        """Have the policy read the steps first."""
        steps = self._reference_steps
        lacking = [request for request in requests if not request["logprobs"]]
        read = [
            steps.plan(steps.model.tokens.chat_ids(r["messages"]), r["token_ids"])
            for r in lacking
        ]
        outer: Future[list[Scores]] = Future()

        def go_on(reading: Future[list[list[float]]]) -> None:
            try:
                values = iter(reading.result())
                inner = self._score(
                    [
                        r
                        if r["logprobs"]
                        else ScoreRequest(**{**r, "logprobs": next(values)})
                        for r in requests
                    ]
                )
            except Exception as error:  # noqa: BLE001 (belongs to the caller)
                outer.set_exception(error)
            else:
                inner.add_done_callback(lambda done: _hand_over(done, outer))

        inner = steps.model.engine.extend(
            [part.extension for part in read if part.extension is not None],
            lambda _done: [steps.remember(part) for part in read],
        )
        inner.add_done_callback(go_on)
        return outer

    def _score(self, requests: list[ScoreRequest]) -> Future[list[Scores]]:
        plans = [self._plan(request) for request in requests]
        extensions = [
            trajectory.extension
            for plan in plans
            for _, trajectory in plan.parts
            if trajectory.extension is not None
        ]
        return self.model.engine.extend(
            extensions, lambda _done: [self._scores(plan) for plan in plans]
        )

    def _plan(self, request: ScoreRequest) -> _Plan:
        question = self.model.tokens.chat_ids(request["messages"])
        steps = request["token_ids"]
        # The last token is an output only: it needs no place in the window.
        window = self.model.context_window + 1
        cut = spans(len(question), [*map(len, steps)], request["new"], window)
        return _Plan(
            request,
            [
                (span, self._steps.plan(question, steps[span.first : span.last]))
                for span in cut
            ],
        )

    def _scores(self, plan: _Plan) -> Scores:
        """The calibrated ratio of each new prefix."""
        scores: list[float] = []
        computed = cached = dropped = 0
        for span, trajectory in plan.parts:
            own = self._steps.remember(trajectory)
            policy = plan.request["logprobs"][span.first : span.last]
            ratios = accumulate(a - b for a, b in zip(own, policy, strict=True))
            new = list(ratios)[-span.new :]
            scores += [logistic(self._scale * ratio + self._offset) for ratio in new]
            dropped = span.first
            if trajectory.extension is not None:
                computed += trajectory.extension.computed
                cached += trajectory.extension.cached
        return Scores(
            scores=scores,
            computed_tokens=computed,
            cached_tokens=cached,
            dropped_steps=dropped,
        )


def _rewritten(turn: str) -> str:
    """A turn as we write turns."""
    content, calls, invalid = read_turn(turn)
    return write_turn(content, [*calls, *invalid])


def _hand_over(done: Future[list[Scores]], outer: Future[list[Scores]]) -> None:
    """Finish one future like another one."""
    if outer.cancelled():
        return
    error = done.exception()
    if error is None:
        outer.set_result(done.result())
    else:
        outer.set_exception(error)
