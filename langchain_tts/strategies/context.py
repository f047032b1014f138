"""What a search needs besides its state: models, budget and parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from langchain_core.language_models.chat_models import BaseChatModel
from pydantic import InstanceOf, SecretStr
from pydantic.json_schema import SkipJsonSchema

from langchain_tts.budget import FORM, Budget
from langchain_tts.policies.base import Policy
from langchain_tts.rewards.base import RewardModel
from langchain_tts.search.state import Score, Vote
from langchain_tts.search.tool_route import RouteChoice
from langchain_tts.search.turns import TurnRule

Ending = Literal["N", "N/M"]
"""How many final candidates a beam search ends with."""

EarlyStop = Literal["off", "certain", "confident"]
"""When a majority vote takes no more samples."""

AnyPolicy: TypeAlias = Policy | SkipJsonSchema[InstanceOf[BaseChatModel]] | str
"""A policy, a LangChain chat model (whole answers only), or a policy's name."""


class SearchContextError(ValueError):
    """A parameter that no search can use."""


@dataclass(frozen=True)
class SearchContext:
    """Runtime context of every strategy's graph (never part of its state).

    Strings are resolved to models when the search starts, so that a graph can be run
    from a form: `langgraph dev` draws one from these annotations, defaults and texts.

    Raises:
        SearchContextError: If a parameter is out of its range.
    """

    __pydantic_config__ = FORM

    policy: AnyPolicy = "tinymath"
    """A policy or its name, e.g. `tinymath`."""

    prm: RewardModel | str | None = "tinymath"
    """A verifier or its name; None searches without one where that is possible."""

    budget: Budget = Budget()  # noqa: RUF009 (it is frozen)
    """Limits of the search."""

    beam_width: int = 4
    """M, how many children each kept candidate gets."""

    max_rounds: int = 40
    """Rounds of step search at most."""

    max_step_tokens: int = 2048
    """New tokens a step may have."""

    max_tokens: int | None = None
    """New tokens a whole answer may have; None: what the policy's family needs (8,192;
    32,768 for models with long reasoning)."""

    temperature: float = 0.8
    """Of sampling."""

    score: Score = "last"
    """How step scores become a trajectory score."""

    vote: Vote = "max"
    """How trajectories become an answer."""

    ending: Ending = "N"
    """Beam search: `N` final candidates (Snell et al. 2024), or `N/M` (Liu et al.
    2025), where answers compete with steps for the beams."""

    lookahead: int = 1
    """Lookahead search: k, how many steps a proposed step is followed."""

    sequential_to_parallel: float = 1.0
    """Revision: length of a chain over number of chains."""

    early_stop: EarlyStop = "off"
    """Majority vote: stop when the leader can no longer be overtaken (`certain`), or
    leads with `confidence` (`confident`)."""

    confidence: float = 0.95
    """Probability in (0.5, 1) that the leader is the most likely answer."""

    resample_below: float = 0.5
    """Particle filter: effective sample size, as a share of the particles, under which
    they are resampled."""

    annealing: float = 1.0
    """Particle filter: temperature of the first resampling, falling to 1; 1 is the
    plain particle filter, more keeps more of its variety."""

    exploration: float = 1.0
    """Monte Carlo tree search: weight of what was visited little."""

    cascade: tuple[AnyPolicy, ...] | None = None
    """Cascade: the policies after `policy`, in growing size; None: the larger ones of
    the embedded policies, if it is one of them."""

    defer_below: float | None = None
    """Cascade: confidence in [0, 1] below which the next policy is asked; None: what
    `cascade_file` says, or 0.9 without one."""

    cascade_file: str | None = None
    """Cascade: a file of `langchain-tts calibrate-cascade`, made for these models."""

    calibration: str | None = None
    """Compute-optimal: a file of `langchain-tts calibrate` that was made for these
    models; None: the one that is shipped for them, or else Liu et al.'s rule."""

    adaptive: bool = True
    """Compute-optimal: whether the rest of the budget is left where the answer is
    settled."""

    stop_score: float | None = None
    """Score in [0, 1] of the last step at which an answer is taken and the search ends.
    None: at none; for compute-optimal what its calibration says."""

    route: RouteChoice = "auto"
    """Tool route: `auto` chooses for each question, `compare` too, but without what was
    measured of the policy before; or the name of one route for all questions."""

    tool_policy: AnyPolicy | None = None
    """Tool route: the policy that calls a calculator. None: the embedded one for the
    embedded policies, else the policy itself if it is an instruct model."""

    solver_policy: AnyPolicy | None = None
    """Tool route: the policy that writes constraints for Z3. None: likewise."""

    turn: SkipJsonSchema[TurnRule | None] = None
    """What the answer may be where tools may be called; None: text."""

    max_retries: int = 1
    """Further tries of a call of a policy or a verifier that failed."""

    api_key: SkipJsonSchema[SecretStr | None] = None
    """Of the server that the policy names; None: the environment's."""

    lockstep: bool | None = None
    """DVTS: whether all subtrees take each step together, in one batch. None: only
    where steps are looked at or saved. The tree is the same."""

    def __post_init__(self) -> None:
        """Refuse parameters that would fail in the middle of a search."""
        for name in ("beam_width", "max_rounds", "max_step_tokens"):
            self._check_whole(name, 1)
        if self.max_tokens is not None:
            self._check_whole("max_tokens", 1)
        self._check_whole("lookahead", 0)
        self._check_whole("max_retries", 0)
        self._check_number("temperature", "0 or more, e.g. 0.8", lambda x: x >= 0)
        self._check_number("sequential_to_parallel", "more than 0", lambda x: x > 0)
        self._check_number("confidence", "0.5 to 1", lambda x: 0.5 < x < 1)  # noqa: PLR2004
        self._check_number("resample_below", "0 to 1", lambda x: 0 <= x <= 1)
        self._check_number("annealing", "1 or more", lambda x: x >= 1)
        self._check_number("exploration", "0 or more", lambda x: x >= 0)
        if self.stop_score is not None:
            self._check_number("stop_score", "0 to 1", lambda x: 0 <= x <= 1)
        self._check_cascade()
        for name, kinds in (
            ("score", get_args(Score)),
            ("vote", get_args(Vote)),
            ("ending", get_args(Ending)),
            ("early_stop", get_args(EarlyStop)),
            ("route", get_args(RouteChoice)),
        ):
            value = getattr(self, name)
            if value not in kinds:
                msg = f"{name} is {value!r}; it is one of {', '.join(kinds)}"
                raise SearchContextError(msg)

    def _check_cascade(self) -> None:
        larger: object = self.cascade
        if larger is not None and not isinstance(larger, (tuple, list)):
            msg = f"cascade is {larger!r}; give a list of policies, e.g. ['vllm:MODEL']"
            raise SearchContextError(msg)
        if isinstance(larger, list):
            # Forms and JSON have lists.
            object.__setattr__(self, "cascade", tuple(larger))
        if self.defer_below is None:
            return
        self._check_number("defer_below", "0 to 1", lambda x: 0 <= x <= 1)
        if self.cascade_file is not None:
            msg = (
                f"defer_below is {self.defer_below} and cascade_file "
                f"{self.cascade_file!r}, which has thresholds of its own; give one"
            )
            raise SearchContextError(msg)

    def _check_whole(self, name: str, least: int) -> None:
        value = getattr(self, name)
        if not isinstance(value, int) or value < least:
            msg = f"{name} is {value!r}; give a whole number of at least {least}"
            raise SearchContextError(msg)

    def _check_number(
        self, name: str, wanted: str, usable: Callable[[float], bool]
    ) -> None:
        value = getattr(self, name)
        number = isinstance(value, (int, float)) and math.isfinite(value)
        if not number or not usable(value):
            msg = f"{name} is {value!r}; give a number: {wanted}"
            raise SearchContextError(msg)
