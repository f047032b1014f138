"""Figures of the papers' claims: compute-optimal, and small against large policies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from langchain_tts.evaluation.page.canvas import NARROW, WIDE, figure, spread
from langchain_tts.evaluation.page.colors import INK, MUTED, PAPER, look
from langchain_tts.evaluation.page.comparison import Comparison, Line
from langchain_tts.evaluation.page.curves import Curve
from langchain_tts.evaluation.page.draw_curves import budget_axis, draw_curve
from langchain_tts.evaluation.page.efficiency import Factor
from langchain_tts.evaluation.page.sizes import Mark, Searched, Sizes
from langchain_tts.evaluation.page.words import power

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHAPES = ("o", "s", "^", "D", "v", "P")
"""Of policies, the largest first."""


def optimal_figure(found: Comparison, *, wide: bool) -> Figure:
    """Compute-optimal and best-of-N over N and over FLOPs, the factor as arrows."""
    by_flops = any(found.by_flops) and found.baseline.flops is not None
    count = 2 if by_flops else 1
    drawn = figure(WIDE if wide else NARROW, 3.9 if wide else 3.1 * count + 1.2)
    shape = (1, count) if wide else (count, 1)
    axes = list(drawn.subplots(*shape, sharey=True, squeeze=False).flat)
    lines = [found.baseline, *([found.fixed] if found.fixed else []), *found.lines]
    # Two bands can be read, four cannot.
    banded = [found.baseline, found.lines[0]]
    for line in lines:
        draw_curve(axes[0], _curve(line, line.budgets), band=line in banded)
    budget_axis(axes[0], [_curve(line, line.budgets) for line in lines])
    _arrows(axes[0], found.by_budget)
    if by_flops:
        for line in lines:
            if line.flops is not None:
                draw_curve(axes[1], _curve(line, line.flops), band=line in banded)
        flops_axis(axes[1])
        axes[1].set_xlabel("FLOPs a question, policy + verifier (log)")
        _arrows(axes[1], found.by_flops)
    for at in axes if not wide else axes[:1]:
        at.set_ylabel("accuracy (%)")
    handles, labels = axes[0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside upper left", ncols=4 if wide else 1)
    return drawn


def _curve(line: Line, computes: Sequence[float]) -> Curve:
    return Curve(line.key, "", line.title, list(computes), line.points)


def _arrows(axes: Axes, found: Sequence[Sequence[Factor]]) -> None:
    """From where best-of-N is as accurate to where the first line is.

    One line's arrows are enough to read: those of the first.
    """
    for factor in found[0] if found else []:
        if factor.factor <= 1:
            continue
        end = factor.compute * factor.factor
        level = 100 * factor.accuracy
        axes.annotate(
            "",
            xy=(factor.compute, level),
            xytext=(end, level),
            arrowprops={
                "arrowstyle": "-|>",
                "color": INK,
                "linewidth": 1,
                "shrinkA": 0,
                "shrinkB": 4,
                "mutation_scale": 9,
                "linestyle": "-" if factor.reached else (0, (2, 2)),
            },
        )
        axes.annotate(
            f"{factor.text()} less",
            xy=(end, level),
            xytext=(3, -1),
            textcoords="offset points",
            ha="left",
            va="top",
            fontweight="bold",
        )


def flops_axis(axes: Axes) -> None:
    """A logarithmic axis whose powers of ten need no formula."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: power(value))


def sizes_figure(found: Sizes, *, wide: bool) -> Figure:
    """Policies with search on an axis of FLOPs, greedy answers as level lines."""
    drawn = figure(WIDE if wide else NARROW, 4.3 if wide else 5.2)
    axes = drawn.subplots()
    names = [one.policy for one in found.greedy]
    for one in found.searched:
        shape = (
            _SHAPES[names.index(one.policy) % len(_SHAPES)]
            if (one.policy in names)
            else "o"
        )
        _draw_searched(axes, one, shape, several=len(names) > 2)  # noqa: PLR2004
    for place, top in enumerate(found.greedy):
        value = 100 * top.mark.point.value
        axes.axhline(value, color=MUTED, linewidth=0.9, linestyle=(0, (5, 3)))
        axes.plot(
            [top.mark.policy_flops],
            [value],
            marker=_SHAPES[place % len(_SHAPES)],
            markersize=7,
            color=INK,
            markeredgecolor=PAPER,
            linestyle="none",
        )
    flops_axis(axes)
    axes.set_xlabel("FLOPs a question (log scale)")
    axes.set_ylabel("accuracy (%)")
    _name_levels(axes, found)
    handles, labels = axes.get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside upper left", ncols=3 if wide else 1)
    return drawn


def _draw_searched(axes: Axes, one: Searched, shape: str, *, several: bool) -> None:
    color = look(one.key).color
    values = [100 * mark.point.value for mark in one.marks]
    whose = f", {one.policy}" + (f" with {one.prm}" if one.prm else "")
    axes.plot(
        [mark.flops for mark in one.marks],
        values,
        color=color,
        marker=shape,
        linewidth=1.4,
        markersize=5.5,
        markeredgecolor=PAPER,
        markeredgewidth=0.6,
        linestyle=(0, (4, 2)) if one.key == "majority_vote" else "-",
        label=one.title + (whose if several else ""),
    )
    for mark, value in zip(one.marks, values, strict=True):
        _draw_bare(axes, mark, value, color, shape)


def _draw_bare(axes: Axes, mark: Mark, value: float, color: str, shape: str) -> None:
    """The same answer without the verifier's FLOPs, joined to the one with them."""
    if mark.flops == mark.policy_flops:
        return
    axes.plot(
        [mark.policy_flops, mark.flops], [value, value], color=color, linewidth=0.7
    )
    axes.plot(
        [mark.policy_flops],
        [value],
        color=PAPER,
        marker=shape,
        markersize=5,
        markeredgecolor=color,
        markeredgewidth=1,
        linestyle="none",
    )


def _name_levels(axes: Axes, found: Sizes) -> None:
    """Name the greedy lines at the left, where few searches are so right."""
    low, high = axes.get_ylim()
    values = [100 * one.mark.point.value for one in found.greedy]
    places = spread(values, gap=(high - low) / 20)
    for one, value, place in zip(found.greedy, values, places, strict=True):
        axes.annotate(
            f"{one.policy} greedy  {value:.1f}",
            xy=(0, place),
            xycoords=("axes fraction", "data"),
            xytext=(4, 3),
            textcoords="offset points",
            ha="left",
            va="bottom",
            color=MUTED,
        )
