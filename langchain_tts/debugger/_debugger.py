"""`SearchDebugger`: a search in steps, to be looked at, edited, forked and resumed."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from langchain_tts.budget import Spent, add_spent
from langchain_tts.debugger import _edits
from langchain_tts.debugger._by_hand import read, scored
from langchain_tts.debugger._compare import Comparison, Side, compare_trees, side
from langchain_tts.debugger._errors import DebuggerError
from langchain_tts.debugger._history import Point, parting
from langchain_tts.debugger._machine import Stop
from langchain_tts.debugger._parts import edges_outside
from langchain_tts.debugger._session import MAIN, Session, closing, new_name
from langchain_tts.debugger._sessions import SessionInfo, saved_sessions
from langchain_tts.debugger._setup import Setup, read_setup
from langchain_tts.debugger._store import Store
from langchain_tts.rewards.base import RewardModel
from langchain_tts.search.state import Candidate, Message, SearchResult
from langchain_tts.strategies import get_strategy
from langchain_tts.strategies._proposal import prompt_tokens
from langchain_tts.strategies._setting import Setting, bind
from langchain_tts.strategies.context import AnyPolicy, SearchContext
from langchain_tts.strategies.state import SearchState, apply, result_of


class SearchDebugger:
    """A search in steps, each of which is saved.

    Args:
        question: What is asked: a text, or a conversation that ends with it.
        strategy: Name of the strategy.
        context: Models, budget and parameters; None takes the defaults.
        seed: Makes the search repeatable; None draws one.
        name: How the session is opened again; None makes one from the question and the
            time.
        file: The SQLite file in which it is saved; None keeps it in memory.

    Raises:
        DebuggerError: If the name is taken, or the file cannot be used.
        UnknownStrategyError: If there is no such strategy.
        QuestionError: If the question is empty or too long for the policy.
        MissingVerifierError: If the strategy needs a verifier and there is none.
    """

    def __init__(
        self,
        question: str | Sequence[Message],
        *,
        strategy: str = "beam_search",
        context: SearchContext | None = None,
        seed: int | None = None,
        name: str | None = None,
        file: str | Path | None = None,
    ) -> None:
        messages = (
            [Message(role="user", content=question)]
            if isinstance(question, str)
            else list(question)
        )
        setup = Setup(
            messages=messages,
            strategy=strategy,
            seed=secrets.randbits(32) if seed is None else seed,
            # Subtrees that advance on their own have no steps to look at.
            context=replace(context or SearchContext(), lockstep=True),
        )
        # What is wrong with the question or the models is said before anything is kept.
        prompt_tokens(messages, bind(setup.context, get_strategy(strategy).verifier))

        def start(store: Store) -> Session:
            store.add(chosen, setup.to_json(), MAIN)
            return Session(store, chosen, setup)

        chosen = name or new_name(setup)
        self.session = closing(Store(file), start)

    @classmethod
    def open(
        cls,
        name: str,
        file: str | Path,
        *,
        policy: AnyPolicy | None = None,
        prm: RewardModel | str | None = None,
    ) -> Self:
        """Open a saved session where it was left.

        Args:
            name: Of the session.
            file: The SQLite file in which it is saved.
            policy: In place of the saved one, e.g. one that was given as an object.
            prm: The same for the verifier.

        Raises:
            DebuggerError: If there is no such session, or a model has to be given.
        """

        def load(store: Store) -> Session:
            saved = store.session(name)
            setup = read_setup(saved.setup, name, policy=policy, prm=prm)
            return Session(
                store, name, setup, heads=saved.branches, branch=saved.branch
            )

        debugger = cls.__new__(cls)
        debugger.session = closing(Store(file), load)
        return debugger

    @staticmethod
    def sessions(file: str | Path) -> list[SessionInfo]:
        """The sessions that are saved in a file, the newest first."""
        return saved_sessions(file)

    def close(self) -> None:
        """Close the file. Everything is saved already."""
        self.session.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    # What there is to look at.

    @property
    def name(self) -> str:
        """How the session is opened again."""
        return self.session.name

    @property
    def setup(self) -> Setup:
        """The question, strategy, seed and context."""
        return self.session.setup

    @property
    def file(self) -> str:
        """Where the session is saved; `:memory:` if it is not."""
        return self.session.store.file

    @property
    def branch(self) -> str:
        """The branch that is looked at."""
        return self.session.branch

    @property
    def state(self) -> SearchState:
        """The channels of the graph."""
        return self.session.here.state

    @property
    def tree(self) -> list[Candidate]:
        """All candidates by id."""
        return self.state.get("tree", [])

    @property
    def next(self) -> str | None:
        """The node that runs next; None at the end.

        A node of a part is named by both, e.g. `beam_search/propose`.
        """
        return self.session.here.next

    @property
    def spent(self) -> Spent:
        """What was used on the way to this point."""
        return self.state.get("spent", {})

    @property
    def result(self) -> SearchResult | None:
        """The result; None before the end."""
        return None if self.next is not None else result_of(self.state)

    @property
    def edges(self) -> list[tuple[str, str]]:
        """The edges of the strategy's graph, each part of which is one node."""
        return edges_outside(self.session.machine.edges)

    @property
    def history(self) -> list[Point]:
        """The points of this branch, from the question to where it stands."""
        return self.session.points(self.branch)

    def branches(self) -> list[str]:
        """The names of all branches, the oldest first."""
        return list(self.session.heads)

    def __repr__(self) -> str:
        return (
            f"<SearchDebugger {self.name!r}: {self.setup.strategy}, branch "
            f"{self.branch!r}, {len(self.tree)} candidates, next {self.next or 'end'}>"
        )

    # Going on and back.

    def step(self) -> str | None:
        """Run the next node.

        Returns:
            The node that ran; None at the end, where there is none.

        Raises:
            PolicyFailedError: If the policy failed on every sample; nothing has changed
                then, and the step can be tried again.
        """
        node = self.next
        self.session.step()
        return node

    def run(self) -> SearchResult:
        """Run to the end.

        Returns:
            The result, which is also `result`.
        """
        while self.step() is not None:
            pass
        return result_of(self.state)

    def back(self, to: int | None = None) -> Point:
        """Go back; nothing is lost or run, and going on from there makes other points.

        Args:
            to: The number of the point in `history`; None goes back by one.

        Returns:
            The point at which the branch stands now.

        Raises:
            DebuggerError: If there is no such point.
        """
        history = self.history
        number = len(history) - 2 if to is None else to
        if not 0 <= number < len(history):
            asked = "this is the first one" if to is None else f"there is no point {to}"
            msg = f"cannot go back: {asked}; the points are 0 to {len(history) - 1}"
            raise DebuggerError(msg)
        self.session.stand(self.branch, history[number].checkpoint_id)
        return history[number]

    # Editing.

    def prune(self, candidate_id: int) -> None:
        """Take a candidate and all that was continued from it out of the search."""
        at = self.session.editable()
        self.session.write(
            at, _edits.prune(at.state, candidate_id), f"prune #{candidate_id}"
        )

    def keep(self, candidate_id: int) -> None:
        """Put a pruned candidate back: it is continued, or its answer votes again."""
        at = self.session.editable()
        update = _edits.keep(at.state, candidate_id, pending=self.session.pending(at))
        self._write_scored(at, update, candidate_id, f"keep #{candidate_id}")

    def rescore(self, candidate_id: int, score: float) -> None:
        """Give a candidate another score, in [0, 1]."""
        at = self.session.editable()
        update = _edits.rescore(at.state, candidate_id, score)
        self.session.write(at, update, f"score #{candidate_id} as {score:g}")

    def rewrite(
        self, candidate_id: int, text: str, *, ends: bool | None = None
    ) -> None:
        """Write a candidate's last step by hand.

        The policy reads it, so that it goes on from it as from its own, and the
        verifier scores it; both are charged. What was continued from the old step is
        pruned.

        Args:
            candidate_id: The candidate.
            text: The step, without the delimiter after it.
            ends: Whether the answer is complete with it; None leaves that as it was.

        Raises:
            DebuggerError: If there is no such candidate or no text, or if the budget
                does not allow to read and score it.
        """
        at = self.session.editable()
        if ends is None:
            ends = _edits.chosen(at.state, candidate_id)["finish_reason"] == "stop"
        step, cost = read(at.state, candidate_id, text, self._setting, ends=ends)
        update = _edits.rewrite(
            at.state, candidate_id, step, ends=ends, pending=self.session.pending(at)
        )
        update["spent"] = cost
        self._write_scored(at, update, candidate_id, f"rewrite #{candidate_id}")

    def _write_scored(
        self, at: Stop, update: SearchState, candidate_id: int, what: str
    ) -> None:
        """Write an edit after which a candidate may have to be scored.

        A last step is left to the node that scores, where that runs before a choice or
        a vote; any other is scored at once.
        """
        samples, pending = self._setting.budget.samples, self.session.pending(at)
        _edits.check_answers(at.state, update, samples, pending=pending)
        after = apply(at.state, update)
        scores = self.session.machine.leads(at.next, "score")
        if not (scores and _edits.is_last(at.state, candidate_id)):
            verifier = self.session.strategy.verifier
            more = scored(after, candidate_id, verifier, self._setting)
            update = {
                **update,
                **more,
                "tree": [*update["tree"], *more.get("tree", [])],
                "spent": add_spent(update.get("spent", {}), more.get("spent", {})),
            }
        self.session.write(at, update, what)

    @cached_property
    def _setting(self) -> Setting:
        return bind(self.setup.context, self.session.strategy.verifier)

    # Branches.

    def fork(self, name: str) -> None:
        """Make a branch that starts here, and look at it; this one stays as it is.

        Raises:
            DebuggerError: If there is one of that name, or no name.
        """
        if not name.strip() or name in self.session.heads:
            wrong = "there is one already" if name.strip() else "it is empty"
            msg = f"a branch cannot be named {name!r}: {wrong}; choose another name"
            raise DebuggerError(msg)
        self.session.stand(name, self.session.here.checkpoint_id)

    def switch(self, name: str) -> None:
        """Look at another branch.

        Raises:
            DebuggerError: If there is none of that name.
        """
        self.session.stand(name, self.session.head(name))

    def compare(self, a: str, b: str) -> Comparison:
        """Tell two branches apart.

        Raises:
            DebuggerError: If there is none of one of the names.
        """
        session = self.session
        trees = [session.at(name).state.get("tree", []) for name in (a, b)]
        return Comparison(
            parted=parting(session.points(a), session.points(b)),
            a=self.summary(a),
            b=self.summary(b),
            tree=compare_trees(*trees),
        )

    def summary(self, branch: str) -> Side:
        """What has come of a branch so far.

        Raises:
            DebuggerError: If there is none of that name.
        """
        return side(branch, self.session.at(branch))
