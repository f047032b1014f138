"""A user's own strategy: a step search with a selection function of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from langchain_tts.search.select import Selection
from langchain_tts.search.state import Candidate
from langchain_tts.strategies._registry import BudgetRule, Strategy

if TYPE_CHECKING:
    from langchain_tts.strategies._graph import Graph

Chooser = Callable[[Sequence[Candidate], Sequence[int], int, int], Selection]
"""`choose(tree, proposed, places, width)`: what becomes of a round's steps."""

_RULE = BudgetRule(
    width="L = N − final candidates",
    beams="the steps that its selection function keeps, at most L",
    depth="until N answers are final, at most max_rounds",
    uneven="they share the places evenly, the better ones get one more",
)


def step_strategy(name: str, summary: str, choose: Chooser) -> Strategy:
    """Make a strategy of a selection function.

    It is a search over steps like beam search: propose, score, select, and again, until
    N answers are final or no step is kept. Only the selection is yours:

    ```python
    def choose(tree, proposed, places, width):
        best = rank(tree, proposed)[: beam_count(places, width)]
        return Selection(best, [i for i in proposed if i not in best])
    ```

    Args:
        name: How the strategy is asked for.
        summary: What it does, in one line.
        choose: A pure function of four arguments. `tree`: all candidates by id, with
            their text, score, parent and seed. `proposed`: ids of this round's steps
            that can be continued, at least one; answers are none. `places`: how many
            steps the next round may propose, at least 1. `width`: M. It returns which
            candidates are continued, best first, and which are pruned for good. They
            share the places evenly, the better ones get one more; one that is kept
            twice gets two shares; one that gets nothing is pruned.

    Returns:
        The strategy; `register_strategy` makes it known by its name.
    """

    def build() -> Graph:
        from langchain_tts.strategies._own_search import build

        return build(name, choose)

    return Strategy(name, summary, _RULE, build, parameters=("stop_score",))
