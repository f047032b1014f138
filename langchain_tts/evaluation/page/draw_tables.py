"""Figures of tables: ratios of revisions, score x vote, predicted difficulty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from langchain_tts.evaluation.page.canvas import NARROW, WIDE, figure
from langchain_tts.evaluation.page.colors import INK, MUTED, look
from langchain_tts.evaluation.page.names import title, way_name
from langchain_tts.evaluation.page.predicted import Predicted
from langchain_tts.evaluation.page.resampling import Estimate
from langchain_tts.evaluation.page.tables import Bars, Votes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEAT = "#0072b2"
_DEEPEST = 0.5
"""Texts stay readable on it in the light and in the dark."""


def bars_figure(bars: Bars, *, wide: bool) -> Figure:
    """Accuracy by sequential:parallel ratio: over all at each N, and by bin at one."""
    drawn = figure(WIDE if wide else NARROW, 3.3 if wide else 5.6)
    over_all = {f"N = {n}": points for n, points in bars.by_budget.items()}
    groups = {f"{name}\nn = {n}": points for name, (n, points) in bars.by_bin.items()}
    shape, ratios = ((1, 2), [len(over_all), max(1, len(groups))])
    if groups and wide:
        axes = list(drawn.subplots(*shape, sharey=True, width_ratios=ratios))
    else:
        axes = list(drawn.subplots(1 + bool(groups), 1, squeeze=False).flat)
    _grouped(axes[0], over_all, bars.ratios)
    axes[0].set_title("all questions", fontweight="normal")
    axes[0].set_ylabel("accuracy (%)")
    if groups:
        _grouped(axes[1], groups, bars.ratios)
        axes[1].set_title(f"by difficulty, N = {bars.budget}", fontweight="normal")
    handles, labels = axes[0].get_legend_handles_labels()
    drawn.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=len(bars.ratios) if wide else 3,
        title="sequential : parallel",
        alignment="left",
        handlelength=1,
    )
    return drawn


def _grouped(
    axes: Axes, groups: Mapping[str, Mapping[str, Estimate]], ratios: Sequence[str]
) -> None:
    """Bars side by side in each group, with their intervals."""
    width = 0.82 / len(ratios)
    for place, ratio in enumerate(ratios):
        at = [(g, of[ratio]) for g, of in enumerate(groups.values()) if ratio in of]
        axes.bar(
            [g + (place - (len(ratios) - 1) / 2) * width for g, _ in at],
            [100 * point.value for _, point in at],
            width * 0.9,
            color=look("revision").color,
            alpha=0.25 + 0.75 * place / max(1, len(ratios) - 1),
            yerr=[
                [100 * (point.value - point.low) for _, point in at],
                [100 * (point.high - point.value) for _, point in at],
            ],
            error_kw={"ecolor": MUTED, "elinewidth": 0.9},
            label=ratio,
        )
    axes.set_xticks(range(len(groups)), labels=list(groups))
    axes.tick_params(axis="x", size=0)
    axes.set_ylim(bottom=0)


def votes_figure(votes: Votes, *, wide: bool) -> Figure:
    """Accuracy of each strategy by score and vote, each row's best in bold."""
    rows = [
        title(strategy) + (f", N = {n}" if wide else "")
        for strategy, n, _ in votes.rows
    ]
    columns = [way_name(*way) for way in votes.ways]
    cells = [
        [None if one is None else 100 * one.value for one in of]
        for _, _, of in votes.rows
    ]
    drawn = figure(
        WIDE if wide else NARROW, (0.29 if wide else 0.27) * len(rows) + 0.95
    )
    axes = drawn.subplots()
    _heat(
        axes,
        cells,
        [_bold_best(row) for row in cells],
        "{:.1f}" if wide else "{:.0f}",
        wide=wide,
    )
    axes.set_xticks(
        range(len(columns)),
        labels=columns,
        rotation=40 if wide else 60,
        ha="left",
        rotation_mode="anchor",
    )
    axes.set_yticks(range(len(rows)), labels=rows)
    return drawn


def _bold_best(row: Sequence[float | None]) -> list[bool]:
    best = max((cell for cell in row if cell is not None), default=None)
    known = sum(cell is not None for cell in row)
    return [known > 1 and cell == best for cell in row]


def predicted_figure(found: Predicted, *, wide: bool) -> Figure:
    """Questions by predicted bin and oracle bin."""
    side = len(found.counts)
    drawn = figure(4.4 if wide else NARROW, 0.52 * side + 1.2)
    axes = drawn.subplots()
    counts = [[float(n) for n in row] for row in found.counts]
    same = [[row == column for column in range(len(counts[0]))] for row in range(side)]
    _heat(axes, counts, same, "{:.0f}", wide=True)
    axes.set_xticks(
        range(len(counts[0])), labels=[str(b + 1) for b in range(len(counts[0]))]
    )
    axes.set_yticks(range(side), labels=[str(b + 1) for b in range(side)])
    axes.set_xlabel("oracle bin (1 = easiest)")
    axes.xaxis.set_label_position("top")
    axes.set_ylabel("predicted bin")
    return drawn


def _heat(
    axes: Axes,
    cells: Sequence[Sequence[float | None]],
    bold: Sequence[Sequence[bool]],
    form: str,
    *,
    wide: bool,
) -> None:
    """Cells that are the deeper the more they hold; all in one color."""
    from matplotlib.patches import Rectangle

    known = [cell for row in cells for cell in row if cell is not None]
    low, high = min(known), max(known)
    for y, row in enumerate(cells):
        for x, cell in enumerate(row):
            if cell is None:
                continue
            depth = (cell - low) / (high - low) if high > low else 0.0
            box = Rectangle(
                (x - 0.48, y - 0.46),
                0.96,
                0.92,
                facecolor=_HEAT,
                alpha=0.04 + (_DEEPEST - 0.04) * depth,
                linewidth=0,
            )
            axes.add_patch(box)
            axes.text(
                x,
                y,
                form.format(cell),
                ha="center",
                va="center",
                color=INK,
                fontsize=8.5 if wide else 7,
                fontweight="bold" if bold[y][x] else "normal",
            )
    axes.set_xlim(-0.5, len(cells[0]) - 0.5)
    axes.set_ylim(len(cells) - 0.5, -0.5)
    axes.grid(visible=False)
    axes.xaxis.tick_top()
    axes.tick_params(size=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
