"""What a page shows of one setting: figures with findings, captions and numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_tts.evaluation.page import findings
from langchain_tts.evaluation.page.bins import Bins, groupings
from langchain_tts.evaluation.page.comparison import BASELINE, Comparison, comparison
from langchain_tts.evaluation.page.curves import Panel, panel, variants
from langchain_tts.evaluation.page.draw_claims import optimal_figure
from langchain_tts.evaluation.page.draw_curves import (
    accuracy_figure,
    panels_figure,
    variants_figure,
)
from langchain_tts.evaluation.page.draw_tables import bars_figure, votes_figure
from langchain_tts.evaluation.page.names import title, way_name
from langchain_tts.evaluation.page.reproduce import eval_command
from langchain_tts.evaluation.page.resampling import Bootstrap
from langchain_tts.evaluation.page.study import Setting
from langchain_tts.evaluation.page.tables import Bars, Votes, ratio_bars, votes
from langchain_tts.evaluation.page.words import cell, scientific

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BAND = (
    "95 % confidence intervals by bootstrap over questions (2,000 draws); N on a "
    "logarithmic axis"
)


@dataclass(frozen=True)
class Exhibit:
    """A figure with everything around it.

    Args:
        key: What it is called in file names.
        heading: What it is of.
        finding: What it shows, from the data.
        caption: How it was measured.
        draw: Makes the figure, for a page's column or for a phone.
        head: Of the table of its numbers.
        rows: Of the table.
    """

    key: str
    heading: str
    finding: str
    caption: str
    draw: Callable[[bool], Figure]
    head: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Table:
    """A table that stands for itself."""

    heading: str
    finding: str
    caption: str
    head: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Missing:
    """What is left out, and which command adds it."""

    what: str
    why: str
    command: str


def exhibits(
    setting: Setting, bootstrap: Bootstrap
) -> tuple[list[Exhibit], list[Missing]]:
    """All figures that a setting has data for, and what is left out."""
    bins = groupings(setting)
    whole = panel(setting, bootstrap)
    found = [_accuracy(setting, whole)]
    found += [_by_bin(setting, one, bootstrap) for one in bins]
    missing = []
    if setting.samples is None:
        missing.append(_without(setting, "bins by oracle difficulty", [BASELINE]))
    several = variants(setting, bootstrap)
    if several:
        found.append(_variants(several, whole))
    optimal = comparison(setting, bootstrap)
    if optimal is None:
        arms = [BASELINE, "beam_search", "compute_optimal"]
        missing.append(_without(setting, "compute-optimal against best-of-N", arms))
    else:
        found.append(_optimal(setting, optimal))
    if "compute_optimal" not in {label.partition("?")[0] for label in setting.arms}:
        what = "compute-optimal search that is charged for its own predictions"
        missing.append(_without(setting, what, ["compute_optimal"]))
    bars = ratio_bars(setting, bins[0] if bins else None, bootstrap)
    if bars is None:
        ratios = [
            f"revision?sequential_to_parallel={r}" for r in ("0.25", "1.0", "4.0")
        ]
        missing.append(_without(setting, "sequential : parallel revisions", ratios))
    else:
        found.append(_bars(setting, bars, bins))
    table = votes(setting, bootstrap)
    if table is None:
        missing.append(_without(setting, "score × vote", [BASELINE, "beam_search"]))
    else:
        found.append(_votes(setting, table))
    return found, missing


def _without(setting: Setting, what: str, strategies: list[str]) -> Missing:
    return Missing(
        what,
        f"no run of {setting.manifest['policy']} has it",
        eval_command(setting.manifest, strategies=strategies),
    )


def _n(setting: Setting) -> str:
    seeds = len(setting.seeds)
    return f"n = {len(setting.ids)} questions" + (
        f", means over {seeds} seeds" if seeds > 1 else ""
    )


def _numbers(panels: Sequence[Panel]) -> tuple[list[str], list[list[str]]]:
    """Rows of strategy and group of questions, columns of N."""
    budgets = sorted({n for one in panels for c in one.curves for n in c.budgets})
    head = ["strategy", *(["questions"] if len(panels) > 1 else [])]
    rows = [
        [
            curve.title,
            *([one.name] if len(panels) > 1 else []),
            *(
                cell(dict(zip(curve.budgets, curve.points, strict=True)).get(n))
                for n in budgets
            ),
        ]
        for one in panels
        for curve in one.curves
    ]
    return [*head, *(f"N = {n:g}" for n in budgets)], rows


def _accuracy(setting: Setting, whole: Panel) -> Exhibit:
    head, rows = _numbers([whole])
    return Exhibit(
        key="accuracy",
        heading="Accuracy against budget",
        finding=findings.of_accuracy(whole),
        caption=(
            f"Accuracy by strategy at each budget N, {_n(setting)}. Bands: {_BAND}. "
            "Each strategy answers as it was told to, with the parameters nearest to "
            "its defaults. Dotted: pass@N, the share of questions of which one of N "
            "independent samples is right, which no way of choosing among them exceeds."
        ),
        draw=lambda wide: accuracy_figure(whole, wide=wide),
        head=head,
        rows=rows,
    )


def _by_bin(setting: Setting, bins: Bins, bootstrap: Bootstrap) -> Exhibit:
    panels = [panel(setting, bootstrap, name, mask) for name, mask in bins.masks()]
    head, rows = _numbers(panels)
    caption = f"Accuracy on {bins.what}, {_n(setting)}; the easiest at the left. "
    if bins.key != "own" and setting.samples is not None:
        count = setting.samples.count.min()
        caption += (
            f"pass@1 is of the {count:.0f} samples that "
            f"{title(setting.samples.strategy)} took, so best-of-N cannot be "
            "right where none of them is. "
        )
    return Exhibit(
        key=f"bins-{bins.key}",
        heading=f"By difficulty: {bins.what}",
        finding=findings.of_bins(setting, bins, bootstrap),
        caption=caption + f"In the table: {_BAND}.",
        draw=lambda wide: panels_figure(panels, wide=wide),
        head=head,
        rows=rows,
    )


def _variants(panels: list[Panel], whole: Panel) -> Exhibit:
    base = next((curve for curve in whole.curves if curve.key == BASELINE), None)
    head, rows = _numbers(panels)
    return Exhibit(
        key="parameters",
        heading="Parameters of each strategy",
        finding=findings.of_variants(panels),
        caption=(
            "Accuracy by parameter, n = "
            f"{panels[0].questions} questions; M is the beam width, k the steps looked "
            f"ahead. Dashed: best-of-N. In the table: {_BAND}."
        ),
        draw=lambda wide: variants_figure(panels, base, wide=wide),
        head=head,
        rows=rows,
    )


def _optimal(setting: Setting, found: Comparison) -> Exhibit:
    lines = [found.baseline, *([found.fixed] if found.fixed else []), *found.lines]
    factors = {
        (line.key, factor.compute): factor
        for line, told in zip(found.lines, found.by_budget, strict=True)
        for factor in told
    }
    rows = []
    for line in lines:
        for place, (n, point) in enumerate(zip(line.budgets, line.points, strict=True)):
            factor = factors.get((line.key, n))
            rows.append(
                [
                    line.title,
                    f"{n:g}",
                    cell(point),
                    scientific(line.flops[place] if line.flops else None),
                    factor.text() if factor else "–",
                    f"{factor.low:.1f}–{factor.high:.1f}".replace("inf", "∞")
                    if factor
                    else "–",
                ]
            )
    return Exhibit(
        key="compute-optimal",
        heading="Compute-optimal against best-of-N",
        finding=findings.of_comparison(found),
        caption=(
            f"Arrows: how much less compute {found.lines[0].title} needs for the "
            "accuracy at which they are drawn, best-of-N's points joined over log N; "
            "dashed where best-of-N does not get there in this run. Chosen per bin: "
            "in each of five bins of difficulty one half of the questions chooses "
            "strategy, score and vote, and the other half measures it (two "
            "folds), so no choice is measured on what it was made on. Predicted bins "
            "are by the first 4 samples without labels, oracle bins by pass@1 with "
            f"them; neither prediction is charged. {_n(setting)}. Bands: {_BAND}."
        ),
        draw=lambda wide: optimal_figure(found, wide=wide),
        head=["line", "N", "accuracy, %", "FLOPs a question", "factor", "its interval"],
        rows=rows,
    )


def _bars(setting: Setting, bars: Bars, bins: list[Bins]) -> Exhibit:
    groups = [
        *((f"all, N = {n}", of) for n, of in bars.by_budget.items()),
        *((f"{name}, N = {bars.budget}", of) for name, (_, of) in bars.by_bin.items()),
    ]
    what = f"; bins: {bins[0].what}" if bins else ""
    return Exhibit(
        key="revisions",
        heading="Sequential and parallel revisions",
        finding=findings.of_bars(bars),
        caption=(
            f"Accuracy of revision by the ratio of a chain's length to the number of "
            f"chains, {_n(setting)}{what}. Lines on the bars: 95 % confidence "
            "intervals by bootstrap over questions."
        ),
        draw=lambda wide: bars_figure(bars, wide=wide),
        head=["questions", *bars.ratios],
        rows=[[name, *(cell(of.get(r)) for r in bars.ratios)] for name, of in groups],
    )


def _votes(setting: Setting, table: Votes) -> Exhibit:
    return Exhibit(
        key="votes",
        heading="Score × vote",
        finding=findings.of_votes(table),
        caption=(
            "Accuracy in percent by how step scores become a trajectory's score (min, "
            "last, avg, prod) and how trajectories become an answer (max: the best "
            "one; vote: the largest sum), at each strategy's largest N, "
            f"{_n(setting)}. Bold: the best of a row. In the table: 95 % "
            "confidence intervals by bootstrap over questions."
        ),
        draw=lambda wide: votes_figure(table, wide=wide),
        head=["strategy", "N", *(way_name(*way) for way in table.ways)],
        rows=[
            [title(strategy), str(n), *(cell(one) for one in of)]
            for strategy, n, of in table.rows
        ],
    )
