r"""Tool route: chain of thought, a calculator, or a solver, chosen for each question.

TATA (Xu et al. 2025, arXiv 2502.12022) lets a model's own aptitude decide between
reasoning and tools; SatLM (Ye et al. 2023, arXiv 2305.09656) has a model state a
problem and a solver solve it.

1. Try the open routes. The ways to solve:
   - `reason`: the policy writes a solution.
   - `calculate`: the policy (`tool_policy`) calls a calculator turn by turn, until it
     gives the answer.
   - `solve`: the policy (`solver_policy`) writes constraints. They are read by a parser
     that accepts the solver's language only, and Z3 finds the value of `answer` in
     another process, within two seconds. It counts if it is the only one.
   Where it was measured which of them suits the policy best (the embedded policies),
   that one is tried with half of N; where it finds no answer, the next one with half
   of the rest. Else, and with `route="compare"`, each route gets an equal share of N,
   rounded down but at least 1 as far as N goes, in the order solve, calculate, reason.
2. Choose the route that found the leading answer most often, the first of equals;
   without any answer chain of thought (`search.tool_route`).
3. Sample the rest of N by this route.
4. Count the answers of all samples. Of equally many the one sampled first wins.

A route is open if a policy for it is named or known: the embedded policies have theirs,
an instruct model is asked by a system prompt (`policies.route_prompts`), every other
policy only reasons. With the name of a route as `route` that one is taken for all
questions; where the first half of its samples has no answer, chain of thought gets the
rest.

    START -> propose -> calculate [...] -> solve -> choose [-> propose ...]
        -> aggregate -> END

A node that has nothing to do does nothing: `calculate` goes on with samples that called
the calculator, `solve` asks Z3 for the answers of those that are constraints.

No verifier: one of solution steps cannot compare them with constraints.

Cost: N samples; one that calls tools takes a policy call for each of its turns. What
tools say is no generated token, but is read as a part of the prompt. Tokens of all
routes are charged, and the FLOPs of each policy at its own size.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from langgraph.graph import END, START

from langchain_tts.answers import answer_classes
from langchain_tts.search.state import path
from langchain_tts.search.tool_route import (
    Route,
    Routed,
    Trial,
    choose,
    refusals,
    tried,
)
from langchain_tts.strategies._admission import Expansion
from langchain_tts.strategies._calls import Steps, Work, node
from langchain_tts.strategies._graph import Graph, state_machine
from langchain_tts.strategies._outcome import conclude, final_candidates
from langchain_tts.strategies._proposal import QuestionError
from langchain_tts.strategies._sampling import enough, missing
from langchain_tts.strategies._setting import Setting, refuse_turns
from langchain_tts.strategies._tool_routes import Routes, open_routes, reasoning
from langchain_tts.strategies._tool_samples import (
    RouteSamples,
    counted,
    route_of,
    waiting,
)
from langchain_tts.strategies._tool_solving import solving
from langchain_tts.strategies._tries import generate
from langchain_tts.strategies.state import SearchState, apply, changes


def build() -> Graph:
    """Build the graph of the tool route."""
    graph = state_machine()
    graph.add_node("propose", node(_propose, "none", "propose"))
    graph.add_node("calculate", node(_calculate, "none", "calculate"))
    graph.add_node("solve", node(solving, "none", "solve"))
    graph.add_node("choose", node(_choose, "none", "choose"))
    graph.add_node("aggregate", node(_aggregate, "none", "aggregate"))
    graph.add_edge(START, "propose")
    graph.add_edge("propose", "calculate")
    graph.add_conditional_edges(
        "calculate", _turns, {"calculate": "calculate", "done": "solve"}
    )
    graph.add_edge("solve", "choose")
    graph.add_conditional_edges(
        "choose", enough, {"propose": "propose", "done": "aggregate"}
    )
    graph.add_edge("aggregate", END)
    return graph


def _turns(state: SearchState) -> Literal["calculate", "done"]:
    """Whether a sample waits for its next turn."""
    over = bool(state.get("stop_reason"))
    return "calculate" if not over and waiting(state) else "done"


def _propose(state: SearchState, setting: Setting) -> Steps:
    """Sample the routes that are tried, or the one that was chosen."""
    refuse_turns(setting.context)
    routes: Routes = yield Work(partial(open_routes, setting))
    begun = state
    if "routed" not in state:
        state = apply(state, {"routed": routes.begun(), "degradations": routes.notes})
    state = apply(state, {"proposed": []})
    for route, count in tried(state["routed"], missing(state, setting.budget)):
        update = yield from _sample(state, setting, routes, route, count)
        routed: Routed = update.get("routed", state["routed"])
        new = routed["samples"] + [route] * counted(update)
        routed = {**routed, "samples": new}
        proposed = state["proposed"] + update.get("proposed", [])
        state = apply(state, {**update, "proposed": proposed, "routed": routed})
        if state.get("stop_reason"):
            break
    return changes(begun, state)


def _sample(
    state: SearchState, setting: Setting, routes: Routes, route: Route, count: int
) -> Steps:
    """Samples of one route. A route of tools may be lost without an error."""
    own = reasoning(setting, routes) if route == "reason" else routes.settings[route]
    samples = _samples(state, own, route, [Expansion(None, count)])
    try:
        fits = samples.fitted.expansions
    except QuestionError as error:
        if route == "reason":
            raise
        routed = state["routed"]
        still = [other for other in routed["open"] if other != route]
        return {
            "routed": {**routed, "open": still},
            "degradations": [f"the route {route!r} is not tried: {error}"],
        }
    if not fits:
        return samples.refused()
    generated = yield from generate(samples.requests(), own, samples.spent)
    return samples.absorb(generated)


def _samples(
    state: SearchState, setting: Setting, route: Route, plan: list[Expansion]
) -> RouteSamples:
    return RouteSamples(
        state,
        setting,
        plan=plan,
        by_step=False,
        temperature=setting.context.temperature,
        first_place=None if route == "reason" else 0,
        route=route,
    )


def _calculate(state: SearchState, setting: Setting) -> Steps:
    """The next turn of each sample that waits for it."""
    if _turns(state) == "done":
        return {}
    routes: Routes = yield Work(partial(open_routes, setting))
    own = routes.settings["calculate"]
    turns = _samples(state, own, "calculate", waiting(state))
    if not turns.fitted.expansions:
        return turns.refused()
    generated = yield from generate(turns.requests(), own, turns.spent)
    return turns.absorb(generated)


def _choose(state: SearchState, setting: Setting) -> Steps:
    """Choose the route for the rest of N, as soon as there is an answer."""
    if state["routed"]["route"] is not None or state.get("stop_reason"):
        return {}
    # Comparing answers may take a computer algebra system's time.
    route, why = yield Work(partial(_chosen, state, setting))
    notes: list[str] = []
    asked = setting.context.route
    if asked not in {"auto", "compare", route} and missing(state, setting.budget):
        notes = [f"chain of thought instead of {asked!r}: {why}"]
    return {
        "routed": {**state["routed"], "route": route, "why": why},
        "degradations": notes,
    }


def _chosen(state: SearchState, setting: Setting) -> tuple[Route | None, str]:
    tree, routes = state.get("tree", []), route_of(state)
    finals = final_candidates(tree, setting.context.score)
    found = {path(tree, one["id"])[0]["id"]: one["answer"] for one in finals}
    answers = [found.get(first) for first in routes]
    classes = answer_classes(answers)
    pairs = zip(routes.values(), classes, strict=True)
    return choose(state["routed"], [Trial(*pair) for pair in pairs])


def _aggregate(state: SearchState, setting: Setting) -> Steps:
    """Vote, and tell which route was taken and what the solver said."""
    result, notes = yield Work(partial(conclude, "tool_route", state, setting))
    routed = state["routed"]
    samples, verdicts = routed["samples"], routed["verdicts"]
    refused = refusals(verdicts)
    if refused:
        kinds = ", ".join(f"{kind} {count}" for kind, count in refused.items())
        note = f"{sum(refused.values())} of {len(verdicts)} sets of constraints"
        notes = [*notes, f"{note} gave no answer and did not vote: {kinds}"]
    result["degradations"] = [*state.get("degradations", []), *notes]
    result["route"] = {
        "route": routed["route"],
        "why": routed["why"] or "the budget ended before a choice",
        "open": routed["open"],
        "samples": {route: samples.count(route) for route in dict.fromkeys(samples)},
        "verdicts": {kind: verdicts.count(kind) for kind in dict.fromkeys(verdicts)},
    }
    return {
        "result": result,
        "degradations": notes,
        "stop_reason": result["stop_reason"],
    }
