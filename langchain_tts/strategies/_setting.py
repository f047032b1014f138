"""The setting of a search: its context with budget and models ready to use."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, replace

from langgraph.runtime import Runtime, get_runtime
from pydantic import SecretStr

from langchain_tts.budget import Budget, BudgetError, Ledger, Spent
from langchain_tts.engines.errors import NoToolsError
from langchain_tts.policies.base import Policy
from langchain_tts.rewards.base import RewardModel
from langchain_tts.strategies._registry import STRATEGIES, VerifierUse
from langchain_tts.strategies._stages import at_stage, stage_of
from langchain_tts.strategies.context import AnyPolicy, SearchContext
from langchain_tts.strategies.state import SearchState

SCORING_TIME = 0.1
"""Share of a time limit that is kept for scoring what was generated."""


class MissingVerifierError(ValueError):
    """A strategy that needs a verifier was given none."""


class WholeAnswersError(ValueError):
    """A search by steps with a model that knows whole answers only."""


class WholeTurnsError(ValueError):
    """A strategy that was asked for tool calls, or an answer by a schema."""


@dataclass(frozen=True)
class Setting:
    """A search's context with its models resolved.

    Args:
        context: Parameters of the search.
        policy: The model that proposes.
        prm: The verifier; None where the strategy uses none.
        budget: The limits.
        unasked: Name of a verifier that is not asked, because it reads no tool calls.
    """

    context: SearchContext
    policy: Policy
    prm: RewardModel | None
    budget: Budget
    unasked: str | None = None

    @property
    def max_tokens(self) -> int:
        """New tokens that one whole answer may have."""
        return self.context.max_tokens or self.policy.max_tokens

    def ledger(self, spent: Spent) -> Ledger:
        """The account of this search after spending `spent`."""
        return Ledger(
            self.budget,
            spent,
            policy_parameters=self.policy.num_parameters,
            prm_parameters=0 if self.prm is None else self.prm.num_parameters,
        )

    def generation_seconds(self, spent: Spent) -> float:
        """Seconds that the next policy call may take (infinite without a limit)."""
        left = self.ledger(spent).seconds_left()
        if left is None or self.budget.seconds is None:
            return math.inf
        kept = 0.0 if self.prm is None else SCORING_TIME * self.budget.seconds
        return left - kept


def runtime_context(state: SearchState) -> SearchContext:
    """The context of the running search; the defaults where it was given none.

    A search may have chosen some of its parameters itself (`SearchState.chosen`), and
    a cascade has a policy for each of its stages. A state that is edited
    (`update_state`) has its edges followed outside of a run, without a context. The
    next node has it again, and puts right what was guessed.
    """
    runtime: Runtime[SearchContext] | None = get_runtime(SearchContext)
    context: SearchContext | None = None if runtime is None else runtime.context
    context = SearchContext() if context is None else context
    chosen = state.get("chosen")
    context = replace(context, **chosen) if chosen else context
    return at_stage(context, stage_of(state))


def bind(context: SearchContext, verifier: VerifierUse) -> Setting:
    """Resolve the models that a strategy uses.

    Raises:
        MissingVerifierError: If the strategy needs a verifier and there is none.
        WholeAnswersError: If the strategy searches steps and a model knows none.
        BudgetError: If a limit cannot be kept with these models.
        NoToolsError: If there are tools, or a schema, and the policy cannot.
        WholeTurnsError: If there are, and the strategy searches steps.
    """
    if verifier == "steps":
        refuse_turns(context)
    if verifier == "optional" and context.prm is None:
        verifier = "none"
    if context.prm is None and (
        verifier == "steps" or (verifier == "votes" and context.vote != "majority")
    ):
        chooses_by = "step scores" if verifier == "steps" else f"vote {context.vote!r}"
        msg = (
            f"prm is None, but this search chooses by {chooses_by}; give a verifier, "
            "e.g. prm='tinymath', or use a strategy without one: 'majority_vote', "
            "'greedy', or 'best_of_n' with vote='majority'"
        )
        raise MissingVerifierError(msg)
    policy = _policy(context.policy, context.api_key)
    if context.turn is not None and not policy.takes_turns:
        msg = (
            f"policy {policy.name!r} can neither call tools nor answer by a schema; "
            "use a model that was trained for it, on transformers or vLLM, or a chat "
            "model with bind_tools"
        )
        raise NoToolsError(msg)
    prm = None if verifier == "none" else _prm(context.prm)
    unasked: str | None = None
    if prm is not None and context.turn is not None and not prm.scores_turns:
        unasked, prm = str(prm.name), None
    if verifier == "steps":
        _check_steps(policy, prm)
    budget = Budget.parse(context.budget)
    _check_flops(budget, policy, prm)
    return Setting(context, policy, prm, budget, unasked)


def refuse_turns(context: SearchContext) -> None:
    """Make sure that a search that cannot sample whole turns is not asked for them.

    Raises:
        WholeTurnsError: If it is.
    """
    if context.turn is not None:
        able = ", ".join(repr(one.name) for one in STRATEGIES.values() if one.turns)
        msg = (
            "this strategy cannot search for tool calls or answers by a schema; the "
            f"strategies that can are {able}"
        )
        raise WholeTurnsError(msg)


def _check_flops(budget: Budget, *models: Policy | RewardModel | None) -> None:
    """Make sure that a limit on FLOPs can be kept.

    Raises:
        BudgetError: If the size of a model is not known.
    """
    unknown = [m.name for m in models if m is not None and not m.num_parameters]
    if budget.flops is not None and unknown:
        msg = (
            f"a limit on FLOPs cannot be kept: the parameters of {unknown[0]!r} are "
            "not known; tell them (num_parameters=N, for a server ?num_parameters=N "
            "after its address), or limit tokens or seconds instead"
        )
        raise BudgetError(msg)


def _check_steps(policy: Policy, prm: RewardModel | None) -> None:
    """Make sure that both models know steps.

    Raises:
        WholeAnswersError: If one of them does not.
    """
    alternatives = (
        "use 'best_of_n', 'revision', 'majority_vote' or 'greedy', which need whole "
        "answers only, or"
    )
    if not policy.by_step:
        msg = (
            f"policy {policy.name!r} writes whole answers, but this strategy searches "
            f"step by step; {alternatives} give a policy whose steps can be continued, "
            "e.g. 'vllm:MODEL' or the address of a vLLM server"
        )
        raise WholeAnswersError(msg)
    if prm is not None and not prm.scores_steps:
        msg = (
            f"verifier {prm.name!r} judges whole answers, but this strategy chooses "
            f"among steps; {alternatives} give a process reward model"
        )
        raise WholeAnswersError(msg)


async def abind(context: SearchContext, verifier: VerifierUse) -> Setting:
    """`bind` without blocking the event loop: a name may be loaded from disk."""
    named_prm = isinstance(context.prm, str) and verifier != "none"
    if isinstance(context.policy, str) or named_prm:
        return await asyncio.to_thread(bind, context, verifier)
    return bind(context, verifier)


def _policy(policy: AnyPolicy, api_key: SecretStr | None) -> Policy:
    if isinstance(policy, Policy):
        return policy
    from langchain_tts.policies import is_server, resolve_policy

    # A key that is set for all models is of no use to those in this process.
    return resolve_policy(policy, api_key=api_key if is_server(policy) else None)


def _prm(prm: RewardModel | str | None) -> RewardModel | None:
    if not isinstance(prm, str):
        return prm
    from langchain_tts.rewards import resolve_prm

    return resolve_prm(prm)
