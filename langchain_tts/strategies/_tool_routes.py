"""Which routes of `tool_route` are open, and with which policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from langchain_tts.policies.base import Policy
from langchain_tts.search.tool_route import ORDER, Route, Routed
from langchain_tts.solver import has_solver
from langchain_tts.strategies._setting import Setting, bind
from langchain_tts.strategies.context import AnyPolicy, SearchContextError

_MEASURED: dict[str, tuple[Route, ...]] = {
    "tinymath": ("solve", "calculate", "reason"),
    "tinymath-small": ("solve", "calculate", "reason"),
    "tinymath-large": ("solve", "reason", "calculate"),
}
"""The routes of the embedded policies, by how many calibration questions each answers
right (`docs/tools.md`)."""

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
        settings: Of each open route, with its own policy, in the order of trying.
        ranked: Whether that is the order of aptitude.
        notes: What is not open although it was wanted.
    """

    settings: Mapping[Route, Setting]
    ranked: bool
    notes: list[str]

    def begun(self) -> Routed:
        """The record of a search that has sampled nothing."""
        alone = list(self.settings) == ["reason"]
        return Routed(
            open=list(self.settings),
            ranked=self.ranked,
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
    order, ranked = _order(setting)
    for route in order:
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
    return Routes(settings, ranked, notes)


def reasoning(setting: Setting, routes: Routes) -> Setting:
    """The setting of chain of thought, which is what a search falls back to."""
    return routes.settings.get("reason", setting)


def _order(setting: Setting) -> tuple[Sequence[Route], bool]:
    """The routes in the order of trying, and whether it is one of aptitude."""
    context, name = setting.context, setting.policy.name
    shipped = context.tool_policy is None and context.solver_policy is None
    match context.route:
        case "auto" if shipped and name in _MEASURED:
            return _MEASURED[name], True
        case "auto" | "compare":
            return ORDER, False
        case route:
            return [route], True


def _policy(route: Route, setting: Setting) -> AnyPolicy | None:
    """Who takes a route; None: nobody can."""
    own, context = setting.policy, setting.context
    if route == "reason":
        return own
    given = context.tool_policy if route == "calculate" else context.solver_policy
    if given is not None:
        return given
    if own.name in _MEASURED:
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
