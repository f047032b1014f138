"""Numbers and lists as they are written in sentences and tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

from langchain_tts.evaluation.page.resampling import Estimate

NONE = "–"

_ROUNDING = 1e-9


def percent(point: Estimate) -> str:
    """`68.6 % (64.4–72.6)`."""
    return f"{100 * point.value:.1f} % ({bounds(point)})"


def cell(point: Estimate | None) -> str:
    """`68.6 (64.4–72.6)`, a column's heading has the unit."""
    return NONE if point is None else f"{100 * point.value:.1f} ({bounds(point)})"


def bounds(point: Estimate) -> str:
    """The interval in percent."""
    return f"{100 * point.low:.1f}–{100 * point.high:.1f}"


def points(gap: Estimate) -> str:
    """A difference in percentage points: `+3.2 points (0.4 to 6.0)`."""
    return (
        f"{100 * gap.value:+.1f} points ({100 * gap.low:+.1f} to {100 * gap.high:+.1f})"
    )


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def scientific(value: float | None) -> str:
    """`1.2 × 10⁹`."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(value))
    return f"{value / 10**exponent:.1f} × 10{_raised(exponent)}"


def power(value: float) -> str:
    """A mark on an axis: `10⁹`, `3 × 10⁸`."""
    exponent = math.floor(math.log10(value) + _ROUNDING)
    times = round(value / 10**exponent)
    return ("" if times == 1 else f"{times} × ") + f"10{_raised(exponent)}"


def _raised(exponent: int) -> str:
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def number(value: float | None, digits: int = 0) -> str:
    """`3,353`."""
    return NONE if value is None else f"{value:,.{digits}f}"


def size(parameters: int) -> str:
    """Parameters of a model: `115 k`, `1.1 M`, `7.6 B`."""
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if parameters >= unit:
            return f"{parameters / unit:.3g} {name}"
    return str(parameters) if parameters else "unknown"
