"""The package's own strategies, simplest first, and what N means for each."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from langchain_tts.strategies._registry import BudgetRule, Strategy, register_strategy

if TYPE_CHECKING:
    from langchain_tts.strategies._graph import Graph


def _builder(module: str) -> Callable[[], Graph]:
    """Import a strategy's module, and with it LangGraph, only when it is built."""

    def build() -> Graph:
        found = import_module(f"langchain_tts.strategies.{module}")
        graph: Graph = found.build()
        return graph

    return build


_EVENLY = "they share the places evenly, the better ones get one more"

_BEST_FIRST = BudgetRule(
    width="N first steps, then M next steps of one step, at most N − final candidates",
    beams="1 a round, max(1, ⌊N / M⌋) steps of each depth",
    depth="until max(1, ⌊N / M⌋) answers were taken, at most max_rounds steps",
    uneven="the numbers of answers and steps are rounded down",
)

BUILT_IN = (
    Strategy(
        "greedy",
        "one answer at temperature 0",
        BudgetRule(width="1 answer, whatever N is", beams="–", depth="1"),
        _builder("greedy"),
        verifier="none",
        nested=True,
        turns=True,
        certainty="samples",
    ),
    Strategy(
        "majority_vote",
        "N answers, the most frequent one",
        BudgetRule(
            width="N answers, or fewer with early_stop",
            beams="–",
            depth="1, or until early_stop",
        ),
        _builder("majority_vote"),
        verifier="none",
        parameters=("early_stop", "confidence"),
        nested=True,
        turns=True,
        certainty="samples",
    ),
    Strategy(
        "best_of_n",
        "N answers, chosen by the verifier's scores",
        BudgetRule(
            width="N answers, or fewer with stop_score",
            beams="–",
            depth="1, or until stop_score",
        ),
        _builder("best_of_n"),
        verifier="votes",
        parameters=("stop_score",),
        nested=True,
        turns=True,
        certainty="samples",
    ),
    Strategy(
        "beam_search",
        "the best steps so far are continued, the others pruned",
        BudgetRule(
            width="L = N − final candidates",
            beams="max(1, ⌊L / M⌋), each with M next steps",
            depth="until N answers are final, at most max_rounds",
            uneven=_EVENLY,
        ),
        _builder("beam_search"),
        parameters=("ending", "stop_score"),
        certainty="frontier",
    ),
    Strategy(
        "dvts",
        "independent subtrees, each continuing its best step",
        BudgetRule(
            width="N − final candidates",
            beams="max(1, ⌊N / M⌋) subtrees, each keeps 1 step",
            depth="until each subtree's best step is an answer, at most max_rounds",
            uneven="the first subtrees get one more",
        ),
        _builder("dvts"),
        parameters=("lockstep", "stop_score"),
        certainty="frontier",
    ),
    Strategy(
        "lookahead",
        "beam search that scores a step by where k steps at temperature 0 lead",
        BudgetRule(
            width="L = ⌊N / (k + 1)⌋ − final candidates, k = min(lookahead, N − 1)",
            beams="max(1, ⌊L / M⌋), each with M next steps",
            depth="until ⌊N / (k + 1)⌋ answers are final, at most max_rounds",
            rollouts="k steps after each proposed step, together at most N a round",
            uneven=f"L is rounded down; of the beams {_EVENLY}",
        ),
        _builder("lookahead"),
        parameters=("lookahead", "ending", "stop_score"),
        certainty="frontier",
    ),
    Strategy(
        "revision",
        "chains of answers, each revising the ones before it",
        BudgetRule(
            width="one answer a chain, N in all",
            beams="√(N / sequential_to_parallel) chains, rounded, 1 to N",
            depth="as many calls as a chain has answers",
            uneven="the first chains get one more",
        ),
        _builder("revision"),
        verifier="votes",
        parameters=("sequential_to_parallel",),
        certainty="samples",
    ),
    Strategy(
        "cascade",
        "the smallest policy answers, larger ones only where it is unsure",
        BudgetRule(
            width="one policy's share of N answers",
            beams="–",
            depth="1 to as many calls as there are policies",
            uneven="the first policies get one more; one with none is not asked",
        ),
        _builder("cascade"),
        verifier="votes",
        parameters=("cascade", "defer_below", "cascade_file"),
        chooses=True,
    ),
    Strategy(
        "particle_filter",
        "steps are continued as often as is likely that they are right",
        BudgetRule(
            width="one step a particle, L = N − final candidates of them",
            beams="L particles, copies among them; M is not used",
            depth="until N answers are final, at most max_rounds",
        ),
        _builder("particle_filter"),
        parameters=("resample_below", "annealing", "stop_score"),
        certainty="frontier",
    ),
    Strategy(
        "mcts",
        "simulations that learn which steps lead to good answers (PUCT)",
        BudgetRule(
            width="N first steps, then M more next steps of each step that is visited, "
            "at most N − final candidates",
            beams="1 a round, max(1, ⌊N / M⌋) simulations",
            depth="each simulation to an answer, at most max_rounds steps",
            rollouts="none, the verifier judges each step",
            uneven="the number of simulations is rounded down",
        ),
        _builder("mcts"),
        parameters=("exploration", "stop_score"),
    ),
    Strategy(
        "levin",
        "the step with the smallest depth / product of scores is continued",
        _BEST_FIRST,
        _builder("levin"),
        parameters=("stop_score",),
    ),
    Strategy(
        "best_first",
        "the step with the best score is continued, wherever it is",
        _BEST_FIRST,
        _builder("best_first"),
        parameters=("stop_score",),
    ),
    Strategy(
        "tool_route",
        "chain of thought, a calculator or a solver, by known aptitude or agreement",
        BudgetRule(
            width="half of N of the best known route, or an equal share of N of each, "
            "then the rest of the chosen one",
            beams="–",
            depth="1 to 4, and a call for each turn of answers that call a calculator",
            uneven="with N below the number of routes, the first N are tried",
        ),
        _builder("tool_route"),
        verifier="none",
        parameters=("route", "tool_policy", "solver_policy"),
        chooses=True,
    ),
    Strategy(
        "compute_optimal",
        "the strategy that is best for the question's difficulty",
        BudgetRule(
            width="some of N answers, then as the chosen strategy",
            beams="as the chosen strategy",
            depth="1, then as the chosen strategy with the rest of N",
            rollouts="as the chosen strategy",
            uneven="as the chosen strategy",
        ),
        _builder("compute_optimal"),
        verifier="optional",
        parameters=(
            "calibration",
            "adaptive",
            "stop_score",
            "early_stop",
            "confidence",
            "ending",
            "lockstep",
            "lookahead",
            "sequential_to_parallel",
            "resample_below",
            "annealing",
            "exploration",
        ),
        turns=True,
        certainty="route",
        chooses=True,
    ),
)

for _strategy in BUILT_IN:
    register_strategy(_strategy)
