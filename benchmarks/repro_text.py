"""How figures are written: percentages and differences with their intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from langchain_tts._markdown import table
from langchain_tts.evaluation.estimates import (
    Difference,
    bootstrap,
    paired_difference,
)

__all__ = [
    "Difference",
    "bullets",
    "difference",
    "listed",
    "marked",
    "millions",
    "points",
    "sentence",
    "share",
    "table",
    "times",
    "verdict",
]

UNCLEAR = "no difference shown"


def share(values: Sequence[float], *, digits: int = 1) -> str:
    """A mean in percent with its interval, e.g. `45.8 (41.4 to 50.2)`."""
    if not values:
        return "–"
    found = bootstrap(values)
    mean, low, high = (100 * found[key] for key in ("mean", "low", "high"))
    return f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def difference(left: Sequence[float], right: Sequence[float]) -> Difference:
    """By how much one side is more often right, question by question."""
    return paired_difference(left, right)


def points(found: Difference) -> str:
    """A difference in percentage points with its interval."""
    middle, low, high = (
        100 * part for part in (found.difference, found.low, found.high)
    )
    return f"{middle:+.1f} ({low:+.1f} to {high:+.1f})"


def verdict(found: Difference) -> str:
    """What an interval says: `above`, `below` or `no difference shown`."""
    if found.low > 0:
        return "above"
    return "below" if found.high < 0 else UNCLEAR


def marked(found: Difference) -> str:
    """A difference as `points`, in bold where 0 is outside its interval."""
    text = points(found)
    return text if verdict(found) == UNCLEAR else f"**{text}**"


def times(value: float) -> str:
    """A factor, e.g. `3.9x`."""
    return f"{value:.1f}x" if math.isfinite(value) else "–"


def millions(flops: float) -> str:
    """FLOPs in millions; those of training have many."""
    scaled = flops / 1e6
    return f"{scaled:,.0f}" if scaled >= 10 else f"{scaled:.1f}"  # noqa: PLR2004


def sentence(text: str) -> str:
    """The text with a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def listed(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`; `none` for nothing."""
    if not items:
        return "none"
    *before, last = items
    return f"{', '.join(before)} and {last}" if before else last


def bullets(sentences: Iterable[str]) -> str:
    """A list of sentences; empty ones are left out."""
    return "\n".join(f"- {one}" for one in sentences if one)
