"""Which routes of `tool_route` are open, and with which policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from langchain_tts.policies.base import Policy
from langchain_tts.search.tool_route import ORDER, Route, Routed
from langchain_tts.solver import has_solver
from langchain_tts.strategies._setting import Setting, bind
from langchain_tts.strategies.context import AnyPolicy, SearchContextError

_EMBEDDED = ("tinymath", "tinymath-small", "tinymath-large")
_EMBEDDED_TOOLS: dict[Route, str] = {
    "calculate": "tinymath-tools",
    "solve": "tinymath-solver",
}
SOLVER_OFF = (
    "the solver route is off: Z3 is not installed; "
    'run: pip install "langchain-tts[solver]"'
)


@dataclass(frozen=True)
class Routes:
    """The open routes of a search.

    Args:
        settings: Of each open route, with its own policy.
        notes: What is not open although it was wanted.
    """

    settings: Mapping[Route, Setting]
    notes: list[str]

    def begun(self) -> Routed:
        """The record of a search that has sampled nothing."""
        alone = list(self.settings) == ["reason"]
        return Routed(
            open=[route for route in ORDER if route in self.settings],
            samples=[],
            route="reason" if alone else None,
            why="no other route is open" if alone else "",
            verdicts=[],
        )


def open_routes(setting: Setting) -> Routes:
    """The routes that are tried.

    Chain of thought is open unless another one was asked for. A calculator needs a
    policy that takes turns, a solver one that writes constraints, and Z3.

    Raises:
        SearchContextError: If a policy is named that cannot call tools.
    """
    settings: dict[Route, Setting] = {}
    notes: list[str] = []
    wanted = setting.context.route
    for route in ORDER:
        if wanted not in ("auto", route):
            continue
        policy = _policy(route, setting)
        if policy is None:
            if wanted == route:
                notes.append(_closed(route, setting.policy))
        elif route == "solve" and not has_solver():
            notes.append(SOLVER_OFF)
        else:
            settings[route] = _with(setting, policy)
    if not settings:
        settings["reason"] = setting
    if "calculate" in settings:
        _check_turns(settings["calculate"].policy)
    return Routes(settings, notes)


def reasoning(setting: Setting, routes: Routes) -> Setting:
    """The setting of chain of thought, which is what a search falls back to."""
    return routes.settings.get("reason", setting)


def _policy(route: Route, setting: Setting) -> AnyPolicy | None:
    """Who takes a route; None: nobody can."""
    own, context = setting.policy, setting.context
    if route == "reason":
        return own
    given = context.tool_policy if route == "calculate" else context.solver_policy
    if given is not None:
        return given
    if own.name in _EMBEDDED:
        return _EMBEDDED_TOOLS[route]
    able = own.takes_turns if route == "calculate" else True
    return own if own.follows_prompts and able else None


def _with(setting: Setting, policy: AnyPolicy) -> Setting:
    """The setting with another policy, and without a verifier."""
    if policy is setting.policy:
        return setting
    return bind(replace(setting.context, policy=policy), "none")


def _closed(route: Route, policy: Policy) -> str:
    field = "tool_policy" if route == "calculate" else "solver_policy"
    return (
        f"the route {route!r} is not open, policy {policy.name!r} is no model that is "
        f"known to follow a prompt; name one with {field}"
    )


def _check_turns(policy: Policy) -> None:
    if not policy.takes_turns:
        msg = (
            f"tool_policy {policy.name!r} cannot call tools; use a model that was "
            "trained for it, e.g. 'tinymath-tools'"
        )
        raise SearchContextError(msg)
