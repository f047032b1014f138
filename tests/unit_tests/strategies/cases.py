"""Random questions, models, parameters and budgets, and one search of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from hypothesis import strategies as st

from langchain_tts.budget import Budget
from langchain_tts.search.state import SearchResult
from langchain_tts.strategies import get_strategy
from langchain_tts.strategies._calls import PolicyFailedError
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.state import SearchState, result_of
from tests.unit_tests.fakes import (
    QUESTION,
    Continuation,
    Language,
    Prefix,
    TreePolicy,
    TreePrm,
    random_language,
)

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

    Compiled = CompiledStateGraph[SearchState, SearchContext, Any, SearchState]


def with_empty_steps(language: Language, share: int) -> Language:
    """The language with one of `share` steps being empty, where `share` is not 0."""

    def patchy(prefix: Prefix) -> Sequence[Continuation]:
        return [
            c._replace(text="")
            if share and (len(prefix) + place + ord(c.text[0])) % share == 0
            else c
            for place, c in enumerate(language(prefix))
        ]

    return patchy


@dataclass(frozen=True)
class Case:
    """A question, models and a budget."""

    seed: int
    budget: Budget
    language_seed: int
    depth: int
    empty: int
    lost: int
    parameters: dict[str, Any] = field(default_factory=dict)

    def policy(self) -> TreePolicy:
        language = random_language(self.language_seed, depth=self.depth)
        return TreePolicy(
            with_empty_steps(language, self.empty),
            broken=lambda seed: self.lost > 0 and seed % self.lost == 0,
        )

    def context(self, policy: TreePolicy, prm: TreePrm) -> SearchContext:
        return SearchContext(
            policy=policy, prm=prm, budget=self.budget, **self.parameters
        )


SEEDS = st.integers(0, 2**32 - 1)

PARAMETERS = st.fixed_dictionaries(
    {
        "beam_width": st.integers(1, 6),
        "max_rounds": st.sampled_from([1, 2, 3, 40]),
        "max_step_tokens": st.sampled_from([3, 12, 2048]),
        "max_tokens": st.sampled_from([10, 30, 8192]),
        "score": st.sampled_from(["min", "last", "avg", "prod"]),
        "vote": st.sampled_from(["majority", "max", "vote"]),
        "ending": st.sampled_from(["N", "N/M"]),
        "lookahead": st.integers(0, 3),
        "sequential_to_parallel": st.sampled_from([0.25, 1.0, 3.0, 64.0]),
        "early_stop": st.sampled_from(["off", "certain", "confident"]),
        "resample_below": st.sampled_from([0.0, 0.5, 1.0]),
        "annealing": st.sampled_from([1.0, 4.0]),
        "exploration": st.sampled_from([0.0, 1.0, 3.0]),
        "lockstep": st.booleans(),
    }
)


def cases(budgets: st.SearchStrategy[Budget]) -> st.SearchStrategy[Case]:
    return st.builds(
        Case,
        seed=SEEDS,
        budget=budgets,
        language_seed=st.integers(0, 999),
        depth=st.integers(1, 6),
        empty=st.sampled_from([0, 0, 5]),
        lost=st.sampled_from([0, 0, 7]),
        parameters=PARAMETERS,
    )


SAMPLES = st.integers(1, 20)
TOKENS = st.integers(1, 600)
# A sample costs about 1e4, a search without a limit up to 1e6.
FLOPS = st.floats(3, 6).map(lambda exponent: 10**exponent)

FREE = cases(st.builds(Budget, samples=SAMPLES))
LIMITED = cases(
    st.builds(Budget, samples=SAMPLES)
    | st.builds(Budget, samples=SAMPLES, tokens=TOKENS)
    | st.builds(Budget, samples=SAMPLES, flops=FLOPS)
    | st.builds(Budget, samples=SAMPLES, tokens=TOKENS, flops=FLOPS)
)


def compiled(strategy: str, **options: Any) -> Compiled:
    return get_strategy(strategy).build().compile(**options)


@cache
def _plain(strategy: str) -> Compiled:
    return compiled(strategy)


def beginning(case: Case) -> Any:
    return {"messages": QUESTION, "seed": case.seed}


ROOM: Any = {"recursion_limit": 20_000}


def search(
    strategy: str, case: Case, policy: TreePolicy, prm: TreePrm
) -> SearchResult | None:
    """Search; None where every sample was lost, which is an error."""
    context = case.context(policy, prm)
    try:
        state = _plain(strategy).invoke(beginning(case), ROOM, context=context)
    except PolicyFailedError:
        assert case.lost
        return None
    return result_of(cast("SearchState", state))


def without_time(result: SearchResult) -> dict[str, Any]:
    spent = {k: v for k, v in result["spent"].items() if k != "seconds"}
    return {**result, "spent": spent, "seconds": None}
