"""Figures of accuracy against the budget N."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from langchain_tts.evaluation.page.canvas import NARROW, WIDE, figure, grid, spread
from langchain_tts.evaluation.page.colors import MUTED, PAPER, look
from langchain_tts.evaluation.page.curves import PASS, Curve, Panel
from langchain_tts.evaluation.page.names import variant

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BAND = 0.13

REFERENCES = ("greedy", "majority_vote", PASS)
"""Lines that a search is compared with."""


def accuracy_figure(panel: Panel, *, wide: bool) -> Figure:
    """All strategies over all questions, with their bands."""
    drawn = figure(WIDE if wide else NARROW, 4.2 if wide else 4.6)
    axes = drawn.subplots()
    for curve in _behind_first(panel.curves):
        draw_curve(axes, curve)
    budget_axis(axes, panel.curves)
    axes.set_ylabel("accuracy (%)")
    if wide:
        _label_ends(axes, panel.curves)
    else:
        handles, labels = _handles(axes)
        drawn.legend(handles, labels, loc="outside lower center", ncols=2)
    return drawn


def panels_figure(panels: Sequence[Panel], *, wide: bool) -> Figure:
    """Small multiples: the same strategies on each group of questions."""
    drawn, axes = grid(
        len(panels),
        width=WIDE if wide else NARROW,
        columns=len(panels) if wide else 2,
        height=2.5 if wide else 1.9,
        extra=0.6 if wide else 1.2,
    )
    for panel, at in zip(panels, axes, strict=True):
        for curve in _behind_first(panel.curves):
            draw_curve(at, curve, band=False)
        budget_axis(at, panel.curves, label=False)
        at.set_title(f"{panel.name}, n = {panel.questions}", fontweight="normal")
        at.set_ylim(-3, 103)
        at.set_yticks(range(0, 101, 25))
    drawn.supxlabel("budget N (log scale)", fontsize=9)
    drawn.supylabel("accuracy (%)", fontsize=9)
    handles, labels = _handles(axes[0])
    columns = 5 if wide else 2
    drawn.legend(handles, labels, loc="outside upper left", ncols=columns)
    return drawn


def variants_figure(
    panels: Sequence[Panel], base: Curve | None, *, wide: bool
) -> Figure:
    """One panel for each strategy that has parameters; best-of-N for comparison."""
    drawn, axes = grid(
        len(panels),
        width=WIDE if wide else NARROW,
        columns=min(3, len(panels)) if wide else 1,
        height=2.7 if wide else 2.4,
    )
    for panel, at in zip(panels, axes, strict=True):
        if base is not None:
            at.plot(
                base.budgets,
                [100 * point.value for point in base.points],
                color=MUTED,
                linestyle=(0, (4, 2)),
                linewidth=1.2,
                label=base.title,
            )
        for place, curve in enumerate(panel.curves):
            draw_curve(
                at,
                curve,
                band=False,
                strength=(place + 1) / len(panel.curves),
                label=variant(curve.label) or "defaults",
            )
        budget_axis(at, [*panel.curves, *([base] if base else [])])
        at.set_title(panel.name)
        at.legend(loc="lower right", handlelength=1.6)
    axes[0].set_ylabel("accuracy (%)")
    return drawn


def draw_curve(
    axes: Axes,
    curve: Curve,
    *,
    band: bool = True,
    strength: float = 1.0,
    label: str | None = None,
) -> None:
    """A strategy's line with its 95 % band, or a level line for one that takes no N."""
    color, marker, dashes = look(curve.key)
    values = [100 * point.value for point in curve.points]
    name = curve.title if label is None else label
    reference = curve.key in REFERENCES
    if curve.key == "greedy":
        axes.axhline(values[0], color=color, linewidth=0.9, linestyle="-", label=name)
        return
    axes.plot(
        curve.budgets,
        values,
        color=color,
        marker=marker or None,
        linestyle={"-": "-", "--": (0, (4, 2)), ":": (0, (1, 1.6))}[dashes],
        linewidth=1.2 if reference else 1.7,
        markeredgecolor=PAPER,
        markeredgewidth=0.6,
        alpha=0.35 + 0.65 * strength,
        label=name,
    )
    if band and curve.key != PASS:
        axes.fill_between(
            curve.budgets,
            [100 * point.low for point in curve.points],
            [100 * point.high for point in curve.points],
            color=color,
            alpha=_BAND,
            linewidth=0,
        )


def budget_axis(axes: Axes, curves: Sequence[Curve], *, label: bool = True) -> None:
    """A logarithmic axis of N with a mark at each N that was run."""
    budgets = sorted({n for c in curves if c.key != "greedy" for n in c.budgets} or {1})
    axes.set_xscale("log", base=2)
    axes.set_xticks(budgets, labels=[f"{n:g}" for n in budgets], minor=False)
    axes.set_xticks([], minor=True)
    if label:
        axes.set_xlabel("budget N (samples, log scale)")


def _behind_first(curves: Sequence[Curve]) -> list[Curve]:
    """References are drawn behind the rest."""
    return sorted(curves, key=lambda curve: curve.key not in REFERENCES)


def _handles(axes: Axes) -> tuple[list[Artist], list[str]]:
    handles, labels = axes.get_legend_handles_labels()
    return handles, labels


def _label_ends(axes: Axes, curves: Sequence[Curve]) -> None:
    """Name each line at the right, names moved apart where lines are close."""
    last = max(n for curve in curves for n in curve.budgets)
    ends = [100 * curve.points[-1].value for curve in curves]
    low, high = axes.get_ylim()
    places = spread(ends, gap=(high - low) / 21)
    for curve, end, place in zip(curves, ends, places, strict=True):
        color = look(curve.key).color
        early = curve.key != "greedy" and curve.budgets[-1] < last
        at = f" at N = {curve.budgets[-1]:g}" if early else ""
        axes.annotate(
            f"{curve.title}  {end:.1f}{at}",
            xy=(last if curve.key == "greedy" else curve.budgets[-1], end),
            xytext=(last * 2**0.32, place),
            color=color,
            fontweight="bold" if curve.key == "compute_optimal" else "normal",
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": color,
                "linewidth": 0.6,
                "alpha": 0.7,
                "shrinkA": 1,
                "shrinkB": 4,
            },
        )
