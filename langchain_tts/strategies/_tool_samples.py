"""Samples of the routes: their requests, and what becomes of their answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from langchain_tts.policies.base import GenerationRequest, Sample
from langchain_tts.search.select import roots
from langchain_tts.search.state import (
    Candidate,
    FinishReason,
    Message,
    Status,
    path,
)
from langchain_tts.search.tool_route import Route
from langchain_tts.search.turns import read_turn
from langchain_tts.strategies._admission import Expansion
from langchain_tts.strategies._outcome import POLICY_LOST
from langchain_tts.strategies._proposal import Proposal, prompt_tokens, sample_seed
from langchain_tts.strategies._tool_chats import CALLS, continued, question, responses
from langchain_tts.strategies._tries import Generated
from langchain_tts.strategies.state import SearchState

_REASONS: dict[Status, FinishReason] = {
    "active": "step",
    "finished": "stop",
    "failed": "failed",
}


@dataclass(frozen=True)
class RouteSamples(Proposal):
    """The next samples of a route, or the next turns of those that called a tool.

    Args:
        route: Whose they are.
    """

    route: Route = "reason"

    @cached_property
    def question_tokens(self) -> int:
        """Tokens of the route's own prompt."""
        return prompt_tokens(self.chat(None), self.setting)

    @cached_property
    def prompts(self) -> dict[int | None, int]:
        """Tokens of each parent's request."""
        count = self.setting.policy.count_prompt_tokens
        return {
            parent: self.question_tokens if parent is None else count(self.chat(parent))
            for parent, _ in self.plan
        }

    def room(self, parent: int | None) -> int:
        """New tokens that fit; none after too many turns."""
        if parent is None:
            return super().room(parent)
        if self._depth(parent) >= 2 * self.setting.context.max_rounds:
            return 0
        return min(
            self.setting.max_tokens - self._generated(parent),
            self.setting.policy.context_window - self.prompts[parent],
        )

    def _generated(self, parent: int) -> int:
        """Tokens that the policy wrote of a sample; what tools said is none of them."""
        return sum(len(step["token_ids"]) for step in path(self.tree, parent))

    @cached_property
    def prefixes(self) -> dict[int | None, list[int]]:
        """Every turn begins anew, after its conversation."""
        return {parent: [] for parent, _ in self.plan}

    def chat(self, parent: int | None) -> list[Message]:
        """The conversation that is continued."""
        asked = question(self.state["messages"], self.route, self.setting.policy)
        return asked if parent is None else continued(asked, path(self.tree, parent))

    def requests(self) -> list[GenerationRequest]:
        """One request for each distinct conversation."""
        merged: dict[str, GenerationRequest] = {}
        for parent, seeds in self.seeds.items():
            messages = self.chat(parent)
            request = merged.setdefault(
                json.dumps(messages),
                GenerationRequest(
                    messages=messages,
                    prefix=[],
                    n=0,
                    seeds=[],
                    by_step=False,
                    max_tokens=min(self.fitted.max_tokens, self.room(parent)),
                    temperature=self.temperature,
                    deadline=self.deadline,
                ),
            )
            if self.route == "calculate":
                request["turn"] = CALLS
            request["seeds"] += seeds
            request["n"] = len(request["seeds"])
        return list(merged.values())

    def absorb(self, generated: Generated) -> SearchState:
        """The update with the new candidates and what they cost.

        Raises:
            PolicyFailedError: If chain of thought failed and there is no answer.
        """
        update = super().absorb(generated)
        if any(parent is not None for parent, _ in self.plan):
            # A sample is counted once, whatever the number of its turns.
            update["spent"] = {**update["spent"], "samples": 0}
        if self.route != "reason" and update.get("stop_reason") == POLICY_LOST:
            del update["stop_reason"]
        return update

    def _chain(
        self, first_id: int, parent: int | None, seed: int, sample: Sample | None
    ) -> list[Candidate]:
        """The steps of one sample; a turn with calls is followed by their results."""
        chain = super()._chain(first_id, parent, seed, sample)
        if self.route != "calculate" or chain[-1]["status"] != "finished":
            return chain
        turn = read_turn(chain[-1]["text"])
        if turn.invalid:
            chain[-1] |= {"status": "failed", "finish_reason": "failed"}
        if turn.invalid or not turn.calls:
            return chain
        chain[-1] |= {"status": "active", "finish_reason": "step"}
        results = said(chain[-1], chain[-1]["id"] + 1, responses(turn), "active")
        return [*chain, results]


def said(step: Candidate, place: int, text: str, status: Status) -> Candidate:
    """What a tool said after a step; nobody generated it, so it has no tokens.

    Args:
        step: What called the tool.
        place: The new candidate's id.
        text: What it said.
        status: `active`: the policy goes on. `finished`: it is the answer. `failed`:
            there will be none.
    """
    return {
        **step,
        "id": place,
        "parent": step["id"],
        "depth": step["depth"] + 1,
        "seed": sample_seed(step["seed"], 0),
        "text": text,
        "token_ids": [],
        "logprob": 0.0,
        "score": None,
        "status": status,
        "finish_reason": _REASONS[status],
    }


def route_of(state: SearchState) -> dict[int, Route]:
    """The route of each first step; one that was added by hand is reasoning."""
    known = iter(_samples(state))
    return {i: next(known, "reason") for i in roots(state.get("tree", []))}


def _samples(state: SearchState) -> Sequence[Route]:
    return state["routed"]["samples"] if "routed" in state else []


def leaves_of(state: SearchState, route: Route) -> Iterator[Candidate]:
    """The last candidates of a route's samples."""
    tree, routes = state.get("tree", []), route_of(state)
    parents = {candidate["parent"] for candidate in tree}
    for candidate in tree:
        if candidate["id"] in parents:
            continue
        if routes[path(tree, candidate["id"])[0]["id"]] == route:
            yield candidate


def waiting(state: SearchState) -> list[Expansion]:
    """The samples that wait for the next turn after their tools' results."""
    return [
        Expansion(leaf["id"], 1)
        for leaf in leaves_of(state, "calculate")
        if leaf["status"] == "active"
    ]


def counted(update: SearchState) -> int:
    """How many samples an update added."""
    return len([one for one in update.get("tree", []) if one.get("parent", 0) is None])
