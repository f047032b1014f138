"""Finding, reading and checking calibration files.

A calibration was measured with one policy and one verifier, and says nothing about any
other pair: a verifier is off-policy for most policies, so the best strategy changes
with it (Liu et al. 2025, section 3.1).
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_tts.search.calibration import VERSION, Calibration

if TYPE_CHECKING:
    from langchain_tts.policies.base import Policy
    from langchain_tts.rewards.base import RewardModel

_SAME_WEIGHTS = {"tinymath-implicit": "tinymath"}
"""Names of one verifier."""


class CalibrationError(ValueError):
    """A calibration that cannot be read, or that belongs to other models."""


def load_calibration(
    path: str | Path | None, policy: Policy, prm: RewardModel | None
) -> Calibration | None:
    """The calibration of a pair of models.

    Args:
        path: A file of `langchain-tts calibrate`; None looks for one that is shipped
            with the package.
        policy: The policy of the search, resolved.
        prm: Its verifier, resolved; None where it has none.

    Returns:
        The calibration; None if `path` is None and none is shipped for these models.

    Raises:
        CalibrationError: If the file cannot be read or belongs to other models.
    """
    pair = model_name(policy), None if prm is None else model_name(prm)
    if path is None:
        return _shipped().get(_verified(pair))
    found = read_calibration(Path(path))
    if _verified((found["policy"], found["prm"])) != _verified(pair):
        msg = (
            f"calibration {path} is for {_shown(found['policy'], found['prm'])}, not "
            f"for {_shown(*pair)}; make one for these with: {command(*pair)}"
        )
        raise CalibrationError(msg)
    return found


def read_calibration(path: Path) -> Calibration:
    """Read a calibration file, whatever models it is for.

    Raises:
        CalibrationError: If it is no calibration of this version.
    """
    try:
        modified = path.stat().st_mtime_ns
    except OSError as error:
        msg = f"there is no calibration {path} ({error.strerror}); make one with: "
        raise CalibrationError(msg + command("POLICY", "PRM")) from error
    return _read(path, modified)


def model_name(model: Policy | RewardModel) -> str:
    """What a calibration calls a model."""
    return model.name or type(model).__name__


def command(policy: str, prm: str | None) -> str:
    """The command that makes the calibration of a pair of models."""
    return (
        f"langchain-tts calibrate --policy '{policy}' --prm '{prm or 'none'}' "
        "--dataset DATA --budgets 4,16,64 --out FILE"
    )


@cache
def _read(path: Path, _modified: int) -> Calibration:
    """Read a file once for each time it was written."""
    try:
        content: Any = json.loads(path.read_text("utf-8"))
        version = content["version"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        msg = f"{path} is no calibration ({error}); give a file of "
        raise CalibrationError(msg + command("POLICY", "PRM")) from error
    if version != VERSION:
        msg = (
            f"{path} is a calibration of version {version}, this package reads "
            f"{VERSION}; make it again with: "
            + command(content.get("policy", "POLICY"), content.get("prm", "PRM"))
        )
        raise CalibrationError(msg)
    missing = Calibration.__required_keys__ - content.keys()
    if missing:
        msg = f"{path} is no calibration: it lacks {', '.join(sorted(missing))}"
        raise CalibrationError(msg)
    found: Calibration = content
    return found


@cache
def _shipped() -> dict[tuple[str, str | None], Calibration]:
    """The calibrations of embedded models, by policy and verifier."""
    folder = resources.files("langchain_tts.tinymath") / "calibrations"
    with resources.as_file(folder) as place:
        known = [read_calibration(path) for path in sorted(place.glob("*.json"))]
    return {_verified((one["policy"], one["prm"])): one for one in known}


def _verified(pair: tuple[str, str | None]) -> tuple[str, str | None]:
    policy, prm = pair
    return policy, prm if prm is None else _SAME_WEIGHTS.get(prm, prm)


def _shown(policy: str, prm: str | None) -> str:
    verifier = "no verifier" if prm is None else f"verifier {prm!r}"
    return f"policy {policy!r} with {verifier}"
