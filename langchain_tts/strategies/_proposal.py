"""Proposing: from a plan to requests, and from samples to candidates of the tree."""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from langchain_tts.budget import Spent, add_spent
from langchain_tts.policies.base import GenerationRequest, Sample, Step
from langchain_tts.search.select import finished
from langchain_tts.search.state import (
    Candidate,
    FinishReason,
    Message,
    Status,
    change,
    path,
)
from langchain_tts.strategies._admission import Expansion, Fitted, fit
from langchain_tts.strategies._calls import PolicyFailedError
from langchain_tts.strategies._outcome import POLICY_LOST, lost_verifier
from langchain_tts.strategies._setting import Setting
from langchain_tts.strategies._tries import LATE, Generated
from langchain_tts.strategies.state import SearchState

FIRST_STEP_TOKENS = 128
"""What a step is taken to need before any was seen."""

MARGIN = 2
"""How much longer than the longest so far a step or an answer may turn out."""

_SEED_BITS = 2**63 - 1

NARROWED = "left room for fewer proposals"

_STATUSES: dict[FinishReason, Status] = {
    "step": "active",
    "stop": "finished",
    "length": "truncated",
    "failed": "failed",
}


class QuestionError(ValueError):
    """A question that cannot be asked."""


def search_seed(state: SearchState) -> int:
    """The seed of a search: a new one where the state has none."""
    seed = state.get("seed")
    return secrets.randbits(32) if seed is None else seed


def sample_seed(parent_seed: int, index: int) -> int:
    """The seed of one sample: the same in every process, batch and order of work.

    The seeds of siblings follow one another: engines that sample n continuations of one
    prompt give the i-th of them the request's seed + i.

    Args:
        parent_seed: The seed of the candidate that is continued, or of the search.
        index: Which sample of that parent it is, counted from 0.

    Returns:
        A number of 63 bits.
    """
    digest = hashlib.blake2b(str(parent_seed).encode(), digest_size=8).digest()
    return (int.from_bytes(digest) + index) & _SEED_BITS


def prompt_tokens(messages: Sequence[Message], setting: Setting) -> int:
    """Tokens of the question.

    Raises:
        QuestionError: If there is no question, or no room for an answer.
    """
    # A tool may have nothing to say.
    if not messages or not (
        messages[-1]["content"].strip() or messages[-1]["role"] == "tool"
    ):
        msg = "the question is empty; ask something, e.g. 'What is 12*7+5?'"
        raise QuestionError(msg)
    tokens = setting.policy.count_prompt_tokens(messages)
    window = setting.policy.context_window
    if tokens >= window:
        msg = (
            f"the question has {tokens} tokens, but policy {setting.policy.name!r} "
            f"reads at most {window} with its answer; ask a shorter question or use "
            "a policy with a longer context window"
        )
        raise QuestionError(msg)
    return tokens


@dataclass(frozen=True)
class Proposal:
    """One round of proposals, from the plan to the state's update.

    Args:
        state: The state before it.
        setting: The search's models and budget.
        plan: Which candidates get how many children, best first.
        by_step: One step a sample (True), or the whole rest of the answer.
        temperature: Of sampling.
        first_place: Where the tree is only one of the search's subtrees: the place of
            its first root among all roots. Then it may be lost without an error.
    """

    state: SearchState
    setting: Setting
    plan: Sequence[Expansion]
    by_step: bool
    temperature: float
    first_place: int | None = None

    @cached_property
    def seed(self) -> int:
        """The search's seed, drawn now if the state has none."""
        return search_seed(self.state)

    @property
    def tree(self) -> list[Candidate]:
        """All candidates so far."""
        return self.state.get("tree", [])

    @property
    def spent(self) -> Spent:
        """What was used so far."""
        return self.state.get("spent", {})

    @cached_property
    def question_tokens(self) -> int:
        """Tokens of the prompt without any step."""
        return prompt_tokens(self.state["messages"], self.setting)

    @cached_property
    def prefixes(self) -> dict[int | None, list[int]]:
        """The policy's own tokens that each parent's children continue."""
        found: dict[int | None, list[int]] = {}
        for parent, _ in self.plan:
            steps = [] if parent is None else path(self.tree, parent)
            found[parent] = [token for step in steps for token in step["token_ids"]]
        return found

    @cached_property
    def prompts(self) -> dict[int | None, int]:
        """Tokens of each parent's request."""
        return {
            parent: self.question_tokens + len(prefix)
            for parent, prefix in self.prefixes.items()
        }

    def room(self, parent: int | None) -> int:
        """New tokens that fit after a parent: into the answer and into the window."""
        context, policy = self.setting.context, self.setting.policy
        left = min(
            self.setting.max_tokens - len(self.prefixes[parent]),
            policy.context_window - self.prompts[parent],
        )
        return min(left, context.max_step_tokens) if self.by_step else left

    @cached_property
    def fitted(self) -> Fitted:
        """What of the plan may run."""
        rooms = {parent: self.room(parent) for parent, _ in self.plan}
        return fit(
            [expansion for expansion in self.plan if rooms[expansion.parent] > 0],
            self.setting,
            self.setting.ledger(add_spent(self.spent, self._pledged)),
            prompts=self.prompts,
            max_tokens=max(rooms.values(), default=0),
            likely_tokens=self._likely_tokens(),
        )

    @property
    def _pledged(self) -> Spent:
        """What scoring the answers that have no score yet may cost."""
        prm = self.setting.prm
        if prm is None or lost_verifier(self.state):
            return Spent()
        waiting = [i for i in finished(self.tree) if self.tree[i]["score"] is None]
        tokens = sum(self.question_tokens + self._length(i) for i in waiting)
        return Spent(prm_flops=2.0 * prm.num_parameters * tokens)

    def _length(self, candidate_id: int) -> int:
        """Tokens of an answer up to a candidate."""
        return sum(map(_tokens, path(self.tree, candidate_id)))

    def _likely_tokens(self) -> float:
        """New tokens that a sample probably needs, judged by the longest so far."""
        if self.by_step:
            seen = max((len(c["token_ids"]) for c in self.tree), default=0)
            return MARGIN * seen or FIRST_STEP_TOKENS
        ends = [c["id"] for c in self.tree if c["status"] in {"finished", "truncated"}]
        return MARGIN * max(map(self._length, ends), default=0) or math.inf

    def refused(self) -> SearchState:
        """The update where nothing may run."""
        update: SearchState = {"seed": self.seed, "proposed": []}
        if self.fitted.limit is not None:
            return {**update, "stop_reason": self.fitted.limit}
        return {**update, "tree": self._retired()}

    def _retired(self) -> list[Candidate]:
        """The parents that get no children: no room is left, or no budget."""
        served = {parent for parent, _ in self.fitted.expansions}
        return [
            change(parent, status="truncated" if self.room(parent) <= 0 else "pruned")
            for parent, _ in self.plan
            if parent is not None and parent not in served
        ]

    @cached_property
    def deadline(self) -> float | None:
        """When generation must end, so that there is time to score."""
        seconds = self.setting.generation_seconds(self.spent)
        return None if math.isinf(seconds) else time.monotonic() + seconds

    @cached_property
    def seeds(self) -> dict[int | None, list[int]]:
        """The seed of each sample.

        It depends on the steps before it and on its place among its siblings, not on
        the call it is sampled in: the first n answers of a larger search are those of
        a search with budget n.
        """
        return {
            parent: self._seeds_after(parent, count)
            for parent, count in self.fitted.expansions
        }

    def _seeds_after(self, parent: int | None, count: int) -> list[int]:
        known = self._sampled[parent]
        if parent is None:
            seed, known = self.seed, known + (self.first_place or 0)
        else:
            seed = self.tree[parent]["seed"]
        return [sample_seed(seed, place) for place in range(known, known + count)]

    @cached_property
    def _sampled(self) -> Counter[int | None]:
        """How many children each parent has; a rollout is none of them."""
        return Counter(c["parent"] for c in self.tree if c["status"] != "rollout")

    def requests(self) -> list[GenerationRequest]:
        """One request for each distinct prompt and prefix, whoever its parents are."""
        merged: dict[tuple[object, ...], GenerationRequest] = {}
        for parent, seeds in self.seeds.items():
            messages, prefix = self.chat(parent), self.prefixes[parent]
            texts = (message["content"] for message in messages)
            request = merged.setdefault(
                (*prefix, *texts),
                GenerationRequest(
                    messages=messages,
                    prefix=prefix,
                    n=0,
                    seeds=[],
                    by_step=self.by_step,
                    max_tokens=min(self.fitted.max_tokens, self.room(parent)),
                    temperature=self.temperature,
                    deadline=self.deadline,
                ),
            )
            if self.setting.context.turn is not None:
                request["turn"] = self.setting.context.turn
            request["seeds"] += seeds
            request["n"] = len(request["seeds"])
        return list(merged.values())

    def chat(self, parent: int | None) -> list[Message]:  # noqa: ARG002 (revisions)
        """The conversation that a parent's children continue."""
        return self.state["messages"]

    def absorb(self, generated: Generated) -> SearchState:
        """The update with the new candidates and what they cost.

        Raises:
            PolicyFailedError: If all samples failed and no answer is to be expected.
        """
        added: list[Candidate] = []
        for parent, seeds in self.seeds.items():
            for seed in seeds:
                sample = generated.samples.get(seed)
                added += self._chain(len(self.tree) + len(added), parent, seed, sample)
        ends = [sample["finish_reason"] for sample in generated.samples.values()]
        # A step search counts its final candidates where it selects them.
        trajectories = 0 if self.by_step else len(ends)
        update: SearchState = {
            "seed": self.seed,
            "tree": self._retired() + added,
            "proposed": [candidate["id"] for candidate in added],
            "spent": add_spent(generated.spent, Spent(samples=trajectories)),
            "degradations": self._narrowing() + self._losses(generated),
        }
        limit = POLICY_LOST if generated.lost else self._cut_by(ends)
        return update if limit is None else {**update, "stop_reason": limit}

    def _chain(
        self, first_id: int, parent: int | None, seed: int, sample: Sample | None
    ) -> list[Candidate]:
        """The steps of one sample; a lost sample is one failed candidate."""
        reason = "failed" if sample is None else sample["finish_reason"]
        steps = [] if sample is None else sample["steps"]
        chain: list[Candidate] = []
        for step in steps or [Step(text="", token_ids=[], logprob=0.0)]:
            candidate_id = first_id + len(chain)
            chain.append(
                Candidate(
                    id=candidate_id,
                    parent=candidate_id - 1 if chain else parent,
                    depth=len(chain) + self._depth(parent) + 1,
                    seed=seed,
                    text=step["text"],
                    token_ids=list(step["token_ids"]),
                    logprob=step["logprob"],
                    score=None,
                    status="active",
                    finish_reason="step",
                )
            )
        chain[-1]["status"] = _STATUSES[reason]
        chain[-1]["finish_reason"] = reason
        return chain

    def _depth(self, parent: int | None) -> int:
        return 0 if parent is None else self.tree[parent]["depth"]

    def _narrowing(self) -> list[str]:
        """Say once that a limit made a step search narrower than planned."""
        allowed = sum(children for _, children in self.fitted.expansions)
        planned = sum(children for _, children in self.plan)
        known = any(NARROWED in line for line in self.state.get("degradations", []))
        if not self.by_step or allowed >= planned or known or not self.fitted.limit:
            return []
        turn = self.state.get("round", 0) + 1
        return [f"from round {turn} on, the limit on {self.fitted.limit} {NARROWED}"]

    def _losses(self, generated: Generated) -> list[str]:
        wanted = sum(len(seeds) for seeds in self.seeds.values())
        lost = wanted - len(generated.samples)
        if not lost:
            return []
        why = describe(generated.problem)
        whole = self.first_place is None
        if whole and lost == wanted and self._hopeless(generated):
            advice = (
                f"give the search more than {self.setting.budget.seconds} seconds"
                if generated.problem == LATE
                else "check that the model runs, then ask again"
            )
            msg = (
                f"policy {self.setting.policy.name!r} failed on all {wanted} samples: "
                f"{why}; {advice}"
            )
            raise PolicyFailedError(msg)
        return [f"{lost} of {wanted} samples failed and were dropped: {why}"]

    def _hopeless(self, generated: Generated) -> bool:
        """Whether a call that lost all samples ends the search as an error.

        An engine that raises will do so again. One that only gives nothing usable for
        some steps may still answer from others.
        """
        if finished(self.tree):
            return False
        nothing_else = all(step["status"] == "failed" for step in self.tree)
        return nothing_else or isinstance(generated.problem, Exception)

    def _cut_by(self, ends: Sequence[FinishReason]) -> str | None:
        """The budget limit that ended the search in this call, if one did."""
        if "length" not in ends:
            return None
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return "seconds"
        return self.fitted.limit if set(ends) == {"length"} else None


def _tokens(step: Candidate) -> int:
    """Tokens of a step; where only its text is known, as many as it can have."""
    return len(step["token_ids"]) or len(step["text"].encode())


def describe(problem: Exception | str | None) -> str:
    """A problem in one line."""
    text = (
        str(problem)
        if not isinstance(problem, Exception)
        else (f"{type(problem).__name__}: {problem}")
    )
    return " ".join(text.split())[:200]
