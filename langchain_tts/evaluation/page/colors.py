"""Colors and marks: one for each strategy, the same in all figures.

Figures are drawn in the light colors. In a page they are variables of its style sheet,
so that a figure follows the page into the dark.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from langchain_tts.evaluation.page.comparison import FIXED, ORACLE, PREDICTED
from langchain_tts.evaluation.page.curves import PASS


class Color(NamedTuple):
    """A color on white paper and on a dark screen."""

    light: str
    dark: str


class Look(NamedTuple):
    """How a strategy is drawn."""

    color: str
    marker: str
    dashes: str


INK, MUTED, GRID = "#1c2024", "#68707a", "#e4e7eb"
PAPER = "#fffffe"
"""Behind marks; not quite white, so that it is told from any other white."""

COLORS = {
    "ink": Color(INK, "#eceef0"),
    "muted": Color(MUTED, "#9ba3ad"),
    "grid": Color(GRID, "#2b3036"),
    "paper": Color(PAPER, "#14171a"),
    "blue": Color("#0072b2", "#4aa8e0"),
    "vermilion": Color("#d55e00", "#ff8a3d"),
    "green": Color("#009e73", "#2fc99a"),
    "purple": Color("#b2579c", "#e08ccb"),
    "amber": Color("#c98a00", "#f0b83a"),
    "sky": Color("#3fa0d8", "#7cc8f5"),
    "wine": Color("#882255", "#d9699b"),
    "indigo": Color("#4b3fa7", "#9d93f0"),
    "olive": Color("#7a7a1f", "#b9b94f"),
    "teal": Color("#2c8c84", "#62c7be"),
}
"""By the name of the page's variable. Of Okabe and Ito and of Paul Tol, told apart with
every kind of color blindness; marks tell the strategies apart without any."""

_LOOKS = {
    "greedy": Look(MUTED, "", "--"),
    "majority_vote": Look(MUTED, "o", "--"),
    PASS: Look(MUTED, "", ":"),
    "best_of_n": Look("#0072b2", "s", "-"),
    "beam_search": Look("#d55e00", "^", "-"),
    "dvts": Look("#009e73", "D", "-"),
    "lookahead": Look("#b2579c", "v", "-"),
    "particle_filter": Look("#c98a00", "P", "-"),
    "best_first": Look("#3fa0d8", "X", "-"),
    "revision": Look("#882255", "h", "-"),
    "mcts": Look("#4b3fa7", "p", "-"),
    "levin": Look("#7a7a1f", "<", "-"),
    "cascade": Look("#2c8c84", ">", "-"),
    "compute_optimal": Look(INK, "*", "-"),
    ORACLE: Look("#d55e00", "o", "-"),
    PREDICTED: Look("#009e73", "D", "-"),
    FIXED: Look(MUTED, "d", "--"),
}

_OTHERS = (
    Look("#2c8c84", ">", "-"),
    Look("#4b3fa7", "p", "-"),
    Look("#7a7a1f", "<", "-"),
    Look("#3fa0d8", "X", "-"),
)


def look(key: str) -> Look:
    """How a strategy is drawn; one of somebody else's has a look by its name."""
    if key in _LOOKS:
        return _LOOKS[key]
    digest = hashlib.sha256(key.encode()).digest()
    return _OTHERS[digest[0] % len(_OTHERS)]
