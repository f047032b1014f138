"""Figures with the page's style, as SVG for the page and as PNG for papers."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from langchain_tts.evaluation.page.colors import GRID, INK, MUTED
from langchain_tts.evaluation.page.errors import PageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE, NARROW = 7.4, 3.7
"""Inches: a page's column, and a phone."""

_DPI = 200

_STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "path.simplify": False,
    # Texts are of runs: a dollar sign is no formula.
    "text.parse_math": False,
    "svg.fonttype": "none",
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "xtick.major.size": 3,
    "xtick.major.width": 0.7,
    "xtick.minor.size": 0,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8.5,
    "ytick.major.size": 0,
}


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in the page's style.

    Raises:
        PageError: If matplotlib is missing.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        msg = 'figures need matplotlib: pip install "langchain-tts[report]"'
        raise PageError(msg) from error
    with mpl.rc_context(cast("Any", _STYLE)), warnings.catch_warnings():
        # A name may have letters that the font lacks; a browser has them.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        yield


def figure(width: float, height: float) -> Figure:
    """An empty figure that belongs to nobody else.

    Args:
        width: In inches.
        height: In inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(drawn)
    return drawn


def grid(
    count: int, *, width: float, columns: int, height: float, extra: float = 0.0
) -> tuple[Figure, list[Axes]]:
    """A figure of panels of one size with common scales.

    Args:
        count: How many panels.
        width: In inches, of the figure.
        columns: At most so many side by side.
        height: In inches, of a row.
        extra: Inches for a legend.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    drawn = figure(width, rows * height + extra)
    made = drawn.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    axes: list[Axes] = list(made.flat)
    for empty in axes[count:]:
        empty.remove()
    # The lowest panel of each column has the scale, also where a row is not full.
    for place, panel in enumerate(axes[:count]):
        panel.tick_params(labelbottom=place + columns >= count)
    return drawn, axes[:count]


def png(drawn: Figure) -> bytes:
    """A figure on white, for papers and slides."""
    out = io.BytesIO()
    drawn.savefig(
        out, format="png", dpi=_DPI, facecolor="white", metadata={"Software": None}
    )
    # The next drawing of it has the same places, so they need not be found again.
    drawn.set_layout_engine("none")
    return out.getvalue()


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Move values apart as little as needed, so that labels do not overlap.

    Args:
        wanted: Where each label should be.
        gap: The least distance of two labels.

    Returns:
        Where each is put, in the order of `wanted`.
    """
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    # Labels that touch form a block around the mean of where they should be.
    blocks: list[tuple[float, list[int]]] = []
    for place in order:
        blocks.append((wanted[place], [place]))
        while len(blocks) > 1 and _touch(blocks[-2], blocks[-1], gap):
            members = blocks[-2][1] + blocks[-1][1]
            center = sum(wanted[member] for member in members) / len(members)
            blocks[-2:] = [(center, members)]
    found = [0.0] * len(wanted)
    for center, members in blocks:
        start = center - gap * (len(members) - 1) / 2
        for step, member in enumerate(members):
            found[member] = start + step * gap
    return found


def _touch(
    lower: tuple[float, list[int]], upper: tuple[float, list[int]], gap: float
) -> bool:
    top = lower[0] + gap * (len(lower[1]) - 1) / 2
    bottom = upper[0] - gap * (len(upper[1]) - 1) / 2
    return bottom - top < gap
