"""Constraints that a policy wrote, solved; and what becomes of their samples."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from langchain_tts.search.state import Candidate, Status, change, path
from langchain_tts.solver import Limits, Verdict, solve_constraints
from langchain_tts.strategies._calls import Steps, Work
from langchain_tts.strategies._outcome import whole_text
from langchain_tts.strategies._setting import Setting
from langchain_tts.strategies._tool_chats import constraints_in
from langchain_tts.strategies._tool_samples import leaves_of, said
from langchain_tts.strategies.state import SearchState

_SECONDS = 2.0
"""For one set of constraints."""


def unsolved(state: SearchState) -> list[Candidate]:
    """The complete sets of constraints that the solver has not seen."""
    # What it said has no tokens, and is the last step then.
    return [
        leaf
        for leaf in leaves_of(state, "solve")
        if leaf["status"] == "finished" and leaf["token_ids"]
    ]


def solving(state: SearchState, setting: Setting) -> Steps:
    """Solve what is unsolved, equal constraints once.

    A sample with one answer goes on with it as its last step. All others have failed,
    and do not vote.
    """
    tree = state.get("tree", [])
    waiting = unsolved(state)
    if not waiting:
        return {}
    texts = [constraints_in(whole_text(path(tree, one["id"]))) for one in waiting]
    left = setting.ledger(state.get("spent", {})).seconds_left()
    verdicts: list[Verdict] = yield Work(partial(_solve_all, texts, left))
    new = [
        said(one, len(tree) + number, _said(verdict), _status(verdict))
        for number, (one, verdict) in enumerate(zip(waiting, verdicts, strict=True))
    ]
    changed = [change(c["id"], status="active", finish_reason="step") for c in waiting]
    routed = state["routed"]
    kinds = [verdict.kind for verdict in verdicts]
    return {
        "tree": changed + new,
        "routed": {**routed, "verdicts": [*routed["verdicts"], *kinds]},
    }


def _said(verdict: Verdict) -> str:
    if verdict.kind == "unique":
        return rf"Answer: \boxed{{{verdict.value}}}"
    return f"The solver found no answer: {verdict}"


def _status(verdict: Verdict) -> Status:
    return "finished" if verdict.kind == "unique" else "failed"


def _solve_all(texts: Sequence[str], seconds: float | None) -> list[Verdict]:
    """The verdict on each text, as far as the time goes."""
    until = None if seconds is None else time.monotonic() + seconds
    known: dict[str, Verdict] = {}
    for text in texts:
        if text in known:
            continue
        left = _SECONDS if until is None else min(_SECONDS, until - time.monotonic())
        known[text] = (
            solve_constraints(text, limits=Limits(left))
            if left > 0
            else Verdict("timeout", detail="the search had no time left")
        )
    return [known[text] for text in texts]
