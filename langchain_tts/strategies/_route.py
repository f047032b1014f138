"""Choosing a strategy for a question: the first answers, their scores, and the route.

These are the phases of `compute_optimal` before the strategy that it chooses.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from langchain_tts.search.calibration import (
    Calibration,
    Predictor,
    calibrated_budget,
    choose,
)
from langchain_tts.search.difficulty import predicted_chance
from langchain_tts.search.routing import (
    LONG_REASONING,
    Models,
    Route,
    first_samples,
    level,
    prior,
)
from langchain_tts.search.select import roots
from langchain_tts.search.settle import settled
from langchain_tts.strategies import _nodes
from langchain_tts.strategies._admission import Expansion
from langchain_tts.strategies._calls import Steps, Work
from langchain_tts.strategies._outcome import good_enough, lost_verifier, voters
from langchain_tts.strategies._registry import get_strategy
from langchain_tts.strategies._sampling import missing
from langchain_tts.strategies._setting import Setting
from langchain_tts.strategies._taken_over import taken_over
from langchain_tts.strategies._texts import Texts
from langchain_tts.strategies.calibrations import command, load_calibration, model_name
from langchain_tts.strategies.context import SearchContext
from langchain_tts.strategies.parameters import parse_strategy
from langchain_tts.strategies.state import SearchState

if TYPE_CHECKING:
    from langchain_tts.strategies._turns import Turns

NAME = "compute_optimal"


def sample(state: SearchState, setting: Setting) -> Steps:
    """Sample the first whole answers."""
    calibration = yield Work(partial(_calibration, setting))
    samples = setting.budget.samples
    calibrated = None
    if calibration is not None:
        calibrated = calibration["samples"][calibrated_budget(calibration, samples)]
    wanted = first_samples(samples, calibrated)
    if not wanted:
        return {"route": Route(by=NAME, n0=0)}

    def plan(state: SearchState, _setting: Setting) -> list[Expansion]:
        return [Expansion(None, max(0, wanted - len(roots(state.get("tree", [])))))]

    # Where more can follow, these may be lost without an error.
    first_place = None if wanted == samples else 0
    phase = _nodes.proposing(plan, by_step=False, first_place=first_place)
    update = yield from phase(state, setting)
    return {**update, "route": Route(by=NAME, n0=wanted)}


def sampled(state: SearchState) -> Literal["propose", "done"]:
    """Whether the first answers were sampled, or something ended the search before."""
    taken = len(roots(state.get("tree", [])))
    return "done" if state.get("stop_reason") or taken >= _n0(state) else "propose"


def score(state: SearchState, setting: Setting) -> Steps:
    """Score the first answers, unless their scores do not matter for the route."""
    calibration = yield Work(partial(_calibration, setting))
    if not _n0(state):
        return {}
    counted = calibration is not None and calibration["predictor"] == "vote_share"
    if counted and _stop_score(setting, calibration) is None:
        return {}
    return (yield from _nodes.scoring(state, setting))


def route(state: SearchState, setting: Setting) -> Steps:
    """Predict the difficulty, and choose; or end the search, if it has its answer."""
    calibration = yield Work(partial(_calibration, setting))
    # Comparing answers may take a computer algebra system's time.
    update: SearchState = yield Work(partial(_routed, state, setting, calibration))
    return update


def chosen(state: SearchState) -> str:
    """The node that the search goes on with."""
    if state.get("stop_reason"):
        return "aggregate"
    return parse_strategy(state["route"]["strategy"])[0]


def _n0(state: SearchState) -> int:
    return state["route"]["n0"] if "route" in state else 0


def _calibration(setting: Setting) -> Calibration | None:
    """The calibration of the models. None is made for turns with tool calls."""
    context = setting.context
    if context.turn is not None:
        return None
    return load_calibration(context.calibration, setting.policy, setting.prm)


def _stop_score(setting: Setting, calibration: Calibration | None) -> float | None:
    """The score that settles an answer; None where nothing does."""
    context = setting.context
    if not context.adaptive:
        return None
    if context.stop_score is not None or calibration is None:
        return context.stop_score
    return calibration["stop_score"]


class _Choice(NamedTuple):
    """A strategy, and what is told of it."""

    name: str
    fields: dict[str, Any]
    """Of the context, those that are chosen with it."""
    about: dict[str, Any]
    note: str | None = None
    """What a user should know."""


def _routed(
    state: SearchState, setting: Setting, calibration: Calibration | None
) -> SearchState:
    context = setting.context
    found = voters(state, setting)
    models = _models(state, setting)
    chance = _chance(state, found, models, calibration)
    choice = _choice(state, setting, models, calibration, chance)
    stop_score = _stop_score(setting, calibration)
    fields = {**_stopping(context), "stop_score": stop_score, **choice.fields}
    route: Route = {
        **state["route"],
        "chance": chance,
        "score": fields.get("score", context.score),
        "vote": fields.get("vote", context.vote),
        "stop_score": stop_score,
        **choice.about,  # type: ignore[typeddict-item]
    }
    takes_over = taken_over(
        get_strategy(choice.name), state, replace(context, **fields)
    )
    update: SearchState = {
        **takes_over,
        "route": route,
        "chosen": {**fields, **takes_over.get("chosen", {})},
        "degradations": [choice.note] if choice.note else [],
    }
    after: SearchState = {**state, **update}
    if not state.get("stop_reason"):
        update |= good_enough(after, found.finals, stop_score) or _counted(
            after, setting, found
        )
    route["taken"] = not (state.get("stop_reason") or update.get("stop_reason"))
    return update


def _models(state: SearchState, setting: Setting) -> Models:
    policy, prm = setting.policy, setting.prm
    return Models(
        parameters=policy.num_parameters or None,
        by_step=policy.by_step and (prm is None or prm.scores_steps),
        verifier=prm is not None and not lost_verifier(state),
        long_reasoning=policy.max_tokens >= LONG_REASONING,
        turns=setting.context.turn is not None,
    )


def _chance(
    state: SearchState,
    found: Texts | Turns,
    models: Models,
    calibration: Calibration | None,
) -> float | None:
    """The predicted chance that an answer is right; None for turns and no answers."""
    if not isinstance(found, Texts) or not _n0(state):
        return None
    predictor: Predictor = "both" if models.verifier else "vote_share"
    if calibration is not None:
        predictor = calibration["predictor"]
    return predicted_chance(found.finals, found.classes, predictor)


def _stopping(context: SearchContext) -> dict[str, Any]:
    """When a vote takes no more samples."""
    if not context.adaptive:
        return {"early_stop": "off"}
    # The winner is known then, so nothing is lost.
    return {"early_stop": "certain"} if context.early_stop == "off" else {}


def _choice(
    state: SearchState,
    setting: Setting,
    models: Models,
    calibration: Calibration | None,
    chance: float | None,
) -> _Choice:
    lost = setting.prm is not None and not models.verifier
    if calibration is None or lost:
        choice = _by_rule(setting, models, chance)
    else:
        choice = _by_calibration(setting, models, calibration, chance)
    if missing(state, setting.budget):
        return choice
    name = "best_of_n" if models.verifier else "majority_vote"
    why = {"strategy": name, "reason": "all N samples were taken to predict this"}
    return choice._replace(name=name, about={**choice.about, **why}, note=None)


def _by_rule(setting: Setting, models: Models, chance: float | None) -> _Choice:
    rule = prior(chance, models)
    note, reason = None, rule.why
    if rule.by_difficulty:
        pair = _names(setting)
        note = (
            f"no calibration for policy {pair[0]!r} and verifier {pair[1]!r}: Liu et "
            f"al.'s rule; make one with: {command(*pair)}"
        )
        reason = f"{rule.why} ({note})"
    elif setting.prm is None and setting.unasked is None:
        note = "there is no verifier: answers are counted"
    about = {
        "strategy": rule.strategy,
        "bin": None,
        "difficulty": None if chance is None else level(chance),
        "source": "prior",
    }
    return _Choice(
        rule.strategy, _votes(rule.strategy), {**about, "reason": reason}, note
    )


def _by_calibration(
    setting: Setting, models: Models, calibration: Calibration, chance: float | None
) -> _Choice:
    # Where nothing was predicted there is one bin.
    cell = choose(calibration, chance or 0.0, setting.budget.samples)
    choice = cell["choice"]
    name, parameters = parse_strategy(choice["strategy"])
    if get_strategy(name).verifier == "steps" and not models.by_step:
        return _by_rule(setting, models, chance)
    cells = calibration["cells"][calibrated_budget(calibration, setting.budget.samples)]
    one = len(cells) == 1
    where = "the best for all" if one else f"bin {cell['bin']} of {len(cells)}"
    reason = (
        f"{where}: {cell['accuracy']:.1%} of {cell['n']} questions of "
        f"{calibration['dataset']}"
    )
    fields = {**parameters, "score": choice["score"], "vote": choice["vote"]}
    about = {
        "strategy": choice["strategy"],
        "bin": cell["bin"],
        "difficulty": None,
        "source": "calibration",
        "reason": reason,
    }
    return _Choice(name, {**fields, **_votes(name)}, about)


def _votes(name: str) -> dict[str, Any]:
    """The vote of a strategy that uses no verifier."""
    return {"vote": "majority"} if get_strategy(name).verifier == "none" else {}


def _names(setting: Setting) -> tuple[str, str | None]:
    prm = setting.prm
    return model_name(setting.policy), None if prm is None else model_name(prm)


def _counted(state: SearchState, setting: Setting, found: Texts | Turns) -> SearchState:
    """End a search whose vote is settled, if it counts answers."""
    fields = state["chosen"]
    confident = setting.context.early_stop == "confident"
    counting = fields.get("vote", setting.context.vote) == "majority"
    left = missing(state, setting.budget)
    if fields.get("early_stop") == "off" or not left or not (counting or confident):
        return {}
    confidence = setting.context.confidence if confident else None
    reasons = {settled(level, left, confidence) for level in found.tallies()}
    if None in reasons:
        return {}
    return {
        "stop_reason": "confident" if "confident" in reasons else "certain",
        "chosen": {**fields, "vote": "majority"},
    }
