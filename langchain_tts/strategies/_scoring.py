"""Scoring: which prefixes a verifier has not seen yet, each of them once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from langchain_tts.rewards.base import ScoreRequest, Scores
from langchain_tts.search.lookahead import judged_at
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
    def _known(self) -> dict[int, float]:
        """The scores that there are, by the first candidate with the same text."""
        return {
            self.equal[candidate["id"]]: candidate["score"]
            for candidate in self.tree
            if candidate["score"] is not None
        }

    @cached_property
    def _unscored(self) -> list[list[Candidate]]:
        """The trajectories (steps from the first to a leaf) with unscored steps."""
        new = [candidate for candidate in self.tree if candidate["score"] is None]
        parents = {candidate["parent"] for candidate in new}
        leaves = [
            candidate
            for candidate in new
            if candidate["status"] in {"active", "finished"}
            and candidate["id"] not in parents
        ]
        # Siblings have the steps before them in common.
        above = {
            parent: [] if parent is None else path(self.tree, parent)
            for parent in {leaf["parent"] for leaf in leaves}
        }
        return [[*above[leaf["parent"]], leaf] for leaf in leaves]

    @cached_property
    def _work(self) -> list[tuple[list[Candidate], int]]:
        """Distinct trajectories without empty steps; how many last steps are new."""
        known = set(self._known)
        work: list[tuple[list[Candidate], int]] = []
        for trajectory in self._unscored:
            steps = [step for step in trajectory if step["text"].strip()]
            texts = [self.equal[step["id"]] for step in steps]
            seen = 0
            while seen < len(texts) and texts[seen] in known:
                seen += 1
            if seen < len(texts):
                work.append((steps, len(texts) - seen))
                known.update(texts[seen:])
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
        values = dict(self._known)
        for (steps, new), answer in zip(self._work, answers, strict=True):
            for step, score in zip(steps[-new:], answer["scores"], strict=True):
                values.setdefault(self.equal[step["id"]], score)
        ids = {
            step["id"]
            for steps in self._unscored
            for step in steps
            if step["score"] is None
        }
        return [
            change(i, score=values[self.equal[i]])
            for i in sorted(ids)
            if self.equal[i] in values
        ]


@dataclass(frozen=True)
class RolloutScoring(Scoring):
    """Scoring of steps that are judged where their rollouts end.

    Only these ends are read, each of them once. The end of a rollout has the same score
    as the step that it judges.
    """

    @cached_property
    def judged(self) -> list[int]:
        """For each candidate the one whose prefix is read for it."""
        return judged_at(self.tree, self.equal)

    @cached_property
    def _waiting(self) -> list[int]:
        """The candidates that are to be scored."""
        return [
            candidate["id"]
            for candidate in self.tree
            if candidate["score"] is None
            and candidate["status"] in {"active", "finished"}
        ]

    @cached_property
    def _known(self) -> dict[int, float]:
        """The scores that there are, by the first candidate with the text read."""
        return {
            self._read(candidate["id"]): candidate["score"]
            for candidate in self.tree
            if candidate["score"] is not None
        }

    def _read(self, candidate_id: int) -> int:
        """The first candidate with the text that is read for a candidate."""
        return self.equal[self.judged[candidate_id]]

    @cached_property
    def _work(self) -> list[tuple[list[Candidate], int]]:
        """Distinct trajectories without empty steps, of which the end is new."""
        known = set(self._known)
        work: list[tuple[list[Candidate], int]] = []
        for candidate_id in self._waiting:
            trajectory = path(self.tree, self.judged[candidate_id])
            steps = [step for step in trajectory if step["text"].strip()]
            text = self._read(candidate_id)
            if steps and text not in known:
                work.append((steps, 1))
                known.add(text)
        return work

    def scored(self, answers: Sequence[Scores]) -> list[Candidate]:
        """The candidates that have a score now, and the ends of their rollouts."""
        values = dict(self._known)
        for (steps, _), answer in zip(self._work, answers, strict=True):
            [values[self.equal[steps[-1]["id"]]]] = answer["scores"]
        ids = {i for step in self._waiting for i in (step, self.judged[step])}
        return [
            change(i, score=values[self._read(i)])
            for i in sorted(ids)
            if self._read(i) in values and self.tree[i]["score"] is None
        ]
