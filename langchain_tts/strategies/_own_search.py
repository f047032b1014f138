"""The graph of a step search with a user's selection function.

    START -> propose -> score -> select -> propose ... -> aggregate -> END

Cost: at most N proposals a round and N final candidates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial

from langchain_tts.search.select import Selection, expandable, share
from langchain_tts.search.state import Candidate
from langchain_tts.strategies import _step_search
from langchain_tts.strategies._admission import Expansion
from langchain_tts.strategies._given import own_finals
from langchain_tts.strategies._graph import Graph
from langchain_tts.strategies._own import Chooser
from langchain_tts.strategies._registry import StrategyError
from langchain_tts.strategies._setting import Setting
from langchain_tts.strategies.state import SearchState


def build(name: str, choose: Chooser) -> Graph:
    """Build the graph of a step search that continues what `choose` keeps."""
    return _step_search.build(name, _plan, partial(_choose, name, choose))


def _places(state: SearchState, setting: Setting) -> int:
    return setting.budget.samples - len(own_finals(state))


def _plan(state: SearchState, setting: Setting) -> list[Expansion]:
    parents: list[int | None] = [*state.get("frontier", [])] or [None]
    children: Counter[int | None] = Counter()
    for parent, count in zip(
        parents, share(_places(state, setting), len(parents)), strict=True
    ):
        children[parent] += count
    return [Expansion(parent, count) for parent, count in children.items()]


def _choose(
    name: str, choose: Chooser, state: SearchState, setting: Setting
) -> Selection:
    tree, proposed = state["tree"], state["proposed"]
    active = [i for i in proposed if tree[i]["status"] == "active"]
    going = expandable(tree, active)
    empty = [i for i in active if i not in set(going)]
    if not going:
        return Selection([], empty)
    chosen = choose(tree, going, _places(state, setting), setting.context.beam_width)
    _check(name, tree, chosen)
    return chosen._replace(pruned=[*chosen.pruned, *empty])


def _check(name: str, tree: Sequence[Candidate], chosen: Selection) -> None:
    """Refuse a selection that no search can go on with.

    Raises:
        StrategyError: If it keeps or prunes what is not there to be continued, or
            prunes what it keeps.
    """
    ids = [*chosen.kept, *chosen.pruned]
    active = [i for i in ids if i in range(len(tree)) and tree[i]["status"] == "active"]
    going = set(expandable(tree, active))
    for candidate_id in chosen.kept:
        if candidate_id not in going:
            msg = (
                f"strategy {name!r} keeps candidate {candidate_id}, which cannot be "
                "continued; keep ids of `proposed`"
            )
            raise StrategyError(msg)
    for candidate_id in chosen.pruned:
        if candidate_id not in active or candidate_id in chosen.kept:
            msg = (
                f"strategy {name!r} prunes candidate {candidate_id}, which is kept or "
                "not active; prune the ids of `proposed` that are not kept"
            )
            raise StrategyError(msg)
