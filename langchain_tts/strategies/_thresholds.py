"""How sure each policy of a cascade has to be: one number, or a file of thresholds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_tts.search.cascade import VERSION, Thresholds, Trust
from langchain_tts.strategies._stages import named, policies, sizes

if TYPE_CHECKING:
    from langchain_tts.strategies.context import SearchContext

DEFER_BELOW = 0.9
"""The confidence that is enough where nobody says another."""

_COMMAND = (
    "langchain-tts calibrate-cascade --runs RUN RUN ... --target-accuracy A --out FILE"
)


class ThresholdsError(ValueError):
    """A file of thresholds that cannot be read, or that belongs to other models."""


class Rule(NamedTuple):
    """When a policy of a cascade passes a question on."""

    trust: Trust
    defer_below: list[float]
    """For each policy but the last."""
    notes: list[str]
    """What a user should know about it."""


def rule_of(context: SearchContext) -> Rule:
    """The rule of a cascade, at any of its stages.

    Raises:
        ThresholdsError: If its file cannot be read.
    """
    if context.cascade_file is None:
        enough = DEFER_BELOW if context.defer_below is None else context.defer_below
        trust: Trust = "vote_share" if context.prm is None else "score"
        return Rule(trust, [enough] * (len(policies(context)) - 1), [])
    found = read_thresholds(Path(context.cascade_file))
    notes = []
    if found["samples"] != sizes(context):
        here = _spelled(sizes(context))
        made = f"{context.cascade_file} was made for {_spelled(found['samples'])}"
        notes = [f"{made} samples of the policies, here they take {here}"]
    return Rule(found["trust"], found["defer_below"], notes)


def read_thresholds(path: Path) -> Thresholds:
    """Read a file of thresholds, whatever models it is for.

    Raises:
        ThresholdsError: If it is none of this version.
    """
    try:
        content: Any = json.loads(path.read_text("utf-8"))
        version = content["version"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        msg = f"{path} holds no thresholds ({error}); make them with: {_COMMAND}"
        raise ThresholdsError(msg) from error
    missing = Thresholds.__required_keys__ - content.keys()
    if version != VERSION or missing:
        lack = f"lacks {', '.join(sorted(missing))}" if missing else "is another one"
        msg = (
            f"{path} is of version {version} and {lack}; this package reads version "
            f"{VERSION}, make it again with: {_COMMAND}"
        )
        raise ThresholdsError(msg)
    found: Thresholds = content
    return found


def check_rule(context: SearchContext) -> None:
    """Make sure, before a cascade begins, that its thresholds were made for it.

    Raises:
        ThresholdsError: If they cannot be read, or were made for other models, scores
            or votes.
    """
    if context.cascade_file is None:
        return
    found = read_thresholds(Path(context.cascade_file))
    prm = context.prm
    wanted = {
        "policies": [named(policy) for policy in policies(context)],
        "prm": prm if prm is None else named(prm),
        "score": context.score,
        "vote": context.vote,
    }
    for name, value in wanted.items():
        if (known := found[name]) != value:  # type: ignore[literal-required]
            msg = (
                f"{context.cascade_file} was made for {name} {known!r}, but here it is "
                f"{value!r}; give what it was made for, or make one with: {_COMMAND}"
            )
            raise ThresholdsError(msg)


def _spelled(samples: list[int]) -> str:
    return " + ".join(map(str, samples))
