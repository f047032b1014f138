"""Rollouts: the most likely next steps, generated only to judge the step before."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from langchain_tts.budget import Spent
from langchain_tts.policies.base import Sample
from langchain_tts.search.state import Candidate
from langchain_tts.strategies._admission import Expansion, Fitted
from langchain_tts.strategies._calls import Effect
from langchain_tts.strategies._outcome import lost_verifier
from langchain_tts.strategies._proposal import Proposal, describe
from langchain_tts.strategies._setting import Setting
from langchain_tts.strategies._tries import Generated, generate
from langchain_tts.strategies.state import SearchState

LEFT_OUT = "left no room for looking ahead"

_CUT = Sample(steps=[], finish_reason="length")


def judges(state: SearchState) -> bool:
    """Whether rollouts still have a use, and a budget."""
    notes = state.get("degradations", [])
    left_out = any(LEFT_OUT in line for line in notes)
    return not (state.get("stop_reason") or lost_verifier(state) or left_out)


def one_step_further(
    state: SearchState, setting: Setting, ends: list[int], places: int
) -> Generator[Effect, Any, SearchState]:
    """Add the most likely next step to each rollout, in one policy call.

    Args:
        state: The state of the search.
        setting: Its models and budget.
        ends: The last step that each open rollout has.
        places: How many steps the next round may propose.
    """
    plan = [Expansion(end, 1) for end in ends]
    rollouts = Rollouts(state, setting, plan, places=places)
    generated = Generated({}, Spent(), None)
    if rollouts.fitted.expansions:
        requests = rollouts.requests()
        generated = yield from generate(requests, setting, rollouts.spent)
    return rollouts.absorb(generated)


@dataclass(frozen=True)
class Rollouts(Proposal):
    """One step for each open rollout; where there is none a record that it was cut.

    Steps are compared with each other, so a budget lets all rollouts go on or none.

    Args:
        places: How many steps the next round may propose.
    """

    by_step: bool = True
    temperature: float = 0.0
    places: int = 0

    @cached_property
    def fitted(self) -> Fitted:
        """The whole plan, or nothing."""
        fitted = super().fitted
        whole = len(fitted.expansions) == self._with_room
        return fitted if whole else Fitted([], 0, fitted.limit)

    @property
    def _with_room(self) -> int:
        return sum(self.room(end) > 0 for end, _ in self.plan)

    @property
    def _pledged(self) -> Spent:
        """What is still to come: reading the other steps, and the whole next round.

        A rollout is no part of an answer, so it must not make the search narrower.
        """
        prm, policy = self.setting.prm, self.setting.policy
        steps = int(self._likely_tokens()) * self.places
        read = steps + max(self.prompts.values()) * self.places
        waiting = sum(
            self.question_tokens + self._length(i)
            for i in self.state.get("proposed", [])
            if self.tree[i]["score"] is None
        )
        parameters = 0 if prm is None else prm.num_parameters
        return Spent(
            generated_tokens=steps,
            policy_flops=2.0 * policy.num_parameters * read,
            prm_flops=2.0 * parameters * (read + waiting),
        )

    def absorb(self, generated: Generated) -> SearchState:
        """The update with what the rollouts gave."""
        added: list[Candidate] = []
        for end, _ in self.plan:
            seed = self._seeds_after(end, 1)[0]
            served = end in self.seeds
            sample = generated.samples.get(seed) if served else _CUT
            added += self._chain(len(self.tree) + len(added), end, seed, sample)
        for step in added:
            step["status"] = "rollout"
        return {
            "tree": added,
            "spent": generated.spent,
            "degradations": [*self._left_out(), *self._lost(generated)],
        }

    def _left_out(self) -> list[str]:
        if self.fitted.expansions or not self._with_room:
            return []
        turn = self.state.get("round", 0) + 1
        return [f"from round {turn} on, the limit on {self.fitted.limit} {LEFT_OUT}"]

    def _lost(self, generated: Generated) -> list[str]:
        lost = len(self.seeds) - len(generated.samples)
        if not lost:
            return []
        why = describe(generated.problem)
        return [f"{lost} of {len(self.seeds)} rollouts failed: {why}"]
