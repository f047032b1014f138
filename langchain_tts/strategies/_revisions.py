"""Revisions: the next answer of each chain, after the latest ones before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from langchain_tts.policies.base import Sample
from langchain_tts.search.revise import LATEST, conversation, latest_that_fit
from langchain_tts.search.select import finished
from langchain_tts.search.state import Candidate, Message, path
from langchain_tts.strategies._admission import Expansion
from langchain_tts.strategies._outcome import whole_text
from langchain_tts.strategies._proposal import Proposal, sample_seed
from langchain_tts.strategies._setting import Setting
from langchain_tts.strategies._tries import Generated
from langchain_tts.strategies.state import SearchState

FORGOTTEN = f"left no room for all of the latest {LATEST} answers"


@dataclass(frozen=True)
class Revisions(Proposal):
    """The next answers of chains.

    The plan has an expansion for each chain, by the chain's number. Every answer begins
    at the question again, so its first step is a root of the tree.

    Args:
        chains: For each chain the last steps of its answers so far.
    """

    chains: Sequence[list[int]] = ()

    @classmethod
    def of(cls, state: SearchState, setting: Setting, lengths: Sequence[int]) -> Self:
        """Plan the next answer of each chain that is not complete.

        Where a budget does not allow all, those that are behind come first.

        Args:
            state: The state of the search.
            setting: Its models and budget.
            lengths: How many answers each chain is to have.
        """
        chains = state.get("chains") or [[] for _ in lengths]
        going = [i for i, length in enumerate(lengths) if len(chains[i]) < length]
        going.sort(key=lambda i: len(chains[i]))
        return cls(
            state,
            setting,
            plan=[Expansion(i, 1) for i in going],
            by_step=False,
            temperature=setting.context.temperature,
            chains=chains,
        )

    @cached_property
    def complete(self) -> dict[int | None, list[str]]:
        """Each chain's answers that may be shown: not those that were cut or lost."""
        return {
            chain: [
                whole_text(path(self.tree, last))
                for last in self._answers(chain)
                if self.tree[last]["status"] == "finished"
            ]
            for chain, _ in self.plan
        }

    @cached_property
    def shown(self) -> dict[int | None, list[str]]:
        """The answers in the context of each chain's next one."""
        return {
            chain: latest_that_fit(answers, self._fits)
            for chain, answers in self.complete.items()
        }

    def _answers(self, chain: int | None) -> list[int]:
        return self.chains[chain or 0]

    def _fits(self, shown: Sequence[str]) -> bool:
        """Whether the context has room for another answer as long as the longest."""
        policy = self.setting.policy
        longest = min(self._longest, self.setting.max_tokens)
        prompt = policy.count_prompt_tokens(self._about(shown))
        return prompt + longest <= policy.context_window

    @cached_property
    def _longest(self) -> int:
        return max(map(self._length, finished(self.tree)), default=0)

    def _about(self, shown: Sequence[str]) -> list[Message]:
        prompt = self.setting.policy.revise_prompt
        return conversation(self.state["messages"], shown, prompt)

    def chat(self, parent: int | None) -> list[Message]:
        """The conversation in which a chain's next answer is asked for."""
        return self._about(self.shown[parent])

    @cached_property
    def prefixes(self) -> dict[int | None, list[int]]:
        """Every answer begins anew."""
        return {chain: [] for chain, _ in self.plan}

    @cached_property
    def prompts(self) -> dict[int | None, int]:
        """Tokens of each chain's request."""
        count = self.setting.policy.count_prompt_tokens
        return {
            chain: count(self.chat(chain)) if shown else self.question_tokens
            for chain, shown in self.shown.items()
        }

    @cached_property
    def seeds(self) -> dict[int | None, list[int]]:
        """The seed of each answer, which follows from the one before it in its chain.

        So a chain does not depend on how many others there are.
        """
        return {chain: [self._seed_of(chain)] for chain, _ in self.fitted.expansions}

    def _seed_of(self, chain: int | None) -> int:
        if not self._answers(chain):
            return sample_seed(self.seed, chain or 0)
        return sample_seed(self.tree[self._answers(chain)[-1]]["seed"], 0)

    def absorb(self, generated: Generated) -> SearchState:
        """The update with the new answers and what they cost.

        Raises:
            PolicyFailedError: If all samples failed and there is no answer yet.
        """
        update = super().absorb(generated)
        last = {candidate["seed"]: candidate["id"] for candidate in update["tree"]}
        chains = [
            [*answers, *(last[seed] for seed in self.seeds.get(chain, []))]
            for chain, answers in enumerate(self.chains)
        ]
        return {
            **update,
            "chains": chains,
            "round": self.state.get("round", 0) + 1,
            "degradations": update["degradations"] + self._forgotten(),
        }

    def _chain(
        self, first_id: int, parent: int | None, seed: int, sample: Sample | None
    ) -> list[Candidate]:
        """The steps of one answer; `parent` is only the number of its chain."""
        del parent
        return super()._chain(first_id, None, seed, sample)

    def _retired(self) -> list[Candidate]:
        """No candidate is continued, so none is given up."""
        return []

    def _forgotten(self) -> list[str]:
        """Say once that a context did not show all that it should."""
        known = any(FORGOTTEN in line for line in self.state.get("degradations", []))
        cut = any(
            len(self.shown[chain]) < min(LATEST, len(self.complete[chain]))
            for chain in self.seeds
        )
        if known or not cut:
            return []
        return [f"the context window of {self.setting.policy.name!r} {FORGOTTEN}"]
