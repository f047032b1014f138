"""Scoring: which prefixes a verifier has not seen yet, each of them once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from langchain_tts.rewards.base import ScoreRequest, Scores
from langchain_tts.search.select import first_of_equals
from langchain_tts.search.state import Candidate, Message, change, path


@dataclass(frozen=True)
class Scoring:
    """The prefixes of a tree that are to be scored.

    Equal texts after equal texts are one prefix, scored once. Cut and failed candidates
    are not scored: they never vote and are never expanded.

    Args:
        messages: The question.
        tree: The search tree.
    """

    messages: list[Message]
    tree: Sequence[Candidate]

    @cached_property
    def equal(self) -> list[int]:
        """For each candidate the first one with the same text."""
        return first_of_equals(self.tree)

    @cached_property
    def _unscored(self) -> list[list[Candidate]]:
        """The trajectories (steps from the first to a leaf) with unscored steps."""
        parents = {candidate["parent"] for candidate in self.tree}
        leaves = [
            candidate
            for candidate in self.tree
            if candidate["score"] is None
            and candidate["status"] in {"active", "finished"}
            and candidate["id"] not in parents
        ]
        return [path(self.tree, leaf["id"]) for leaf in leaves]

    @cached_property
    def _work(self) -> list[tuple[list[Candidate], int]]:
        """Distinct trajectories without empty steps; how many last steps are new."""
        known = {self.equal[c["id"]] for c in self.tree if c["score"] is not None}
        work: list[tuple[list[Candidate], int]] = []
        for trajectory in self._unscored:
            steps = [step for step in trajectory if step["text"].strip()]
            seen = [self.equal[step["id"]] in known for step in steps]
            new = len(steps) - (seen.index(False) if False in seen else len(steps))
            if new:
                work.append((steps, new))
                known |= {self.equal[step["id"]] for step in steps}
        return work

    def requests(self) -> list[ScoreRequest]:
        """One request for each distinct trajectory with a prefix that has no score."""
        return [
            ScoreRequest(
                messages=self.messages,
                steps=[step["text"] for step in steps],
                token_ids=[step["token_ids"] for step in steps],
                logprobs=[step["logprob"] for step in steps],
                new=new,
            )
            for steps, new in self._work
        ]

    def scored(self, answers: Sequence[Scores]) -> list[Candidate]:
        """The candidates that have a score now, equal ones the same."""
        values = {
            self.equal[c["id"]]: c["score"] for c in self.tree if c["score"] is not None
        }
        for (steps, new), answer in zip(self._work, answers, strict=True):
            for step, score in zip(steps[-new:], answer["scores"], strict=True):
                values.setdefault(self.equal[step["id"]], score)
        ids = {step["id"] for steps in self._unscored for step in steps}
        return [
            change(i, score=values[self.equal[i]])
            for i in sorted(ids)
            if self.tree[i]["score"] is None and self.equal[i] in values
        ]
