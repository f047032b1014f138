"""Going on with answers that were sampled before a strategy was chosen.

They are the strategy's first samples, so that the whole stays within N:

- What samples whole answers (best-of-N, majority vote) counts them itself.
- Revision has them as the first answers of its chains.
- A step search has them as final candidates and N less their number to spend, with
  about as many beams as it would have had. A tree search has visited them: they are
  simulations that came to their ends.
"""

from __future__ import annotations

from langchain_tts.budget import Budget
from langchain_tts.search.revise import chain_lengths
from langchain_tts.search.select import finished
from langchain_tts.strategies._registry import Strategy
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.state import Given, SearchState


def taken_over(
    strategy: Strategy, state: SearchState, context: SearchContext
) -> SearchState:
    """What a strategy has to know of the answers that there are.

    Args:
        strategy: The strategy that goes on.
        state: The state of the search; its tree has whole answers only.
        context: Its parameters, those of the strategy among them.

    Returns:
        An update; `chosen` is a part of what is chosen.
    """
    budget = Budget.parse(context.budget)
    tree = state.get("tree", [])
    if not tree:
        return {}
    if strategy.name == "revision":
        lengths = chain_lengths(budget.samples, context.sequential_to_parallel)
        continued = {candidate["parent"] for candidate in tree}
        ends = [c["id"] for c in tree if c["id"] not in continued]
        return {"chains": [ends[k :: len(lengths)] for k in range(len(lengths))]}
    if strategy.verifier != "steps":
        return {}
    paid = state.get("spent", {}).get("samples", 0)
    left = budget.samples - paid
    return {
        "given": Given(candidates=len(tree), samples=paid),
        "visited": finished(tree),
        "chosen": {
            "budget": {**budget.to_dict(), "samples": left},
            "beam_width": narrowed(context.beam_width, left / budget.samples),
        },
    }


def narrowed(width: int, share: float) -> int:
    """The beam width with which a share of N has about as many beams as all of it.

    Fewer beams of the full width are worse: the verifier's first mistake loses them. A
    beam keeps two children, or it would choose nothing.

    Args:
        width: M.
        share: What is left of N.
    """
    return max(min(width, 2), round(width * share))
