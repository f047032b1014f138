"""What a calibration looks like in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from langchain_tts.search.calibration import (
        Calibration,
        Cell,
        Choice,
        Measured,
        Prediction,
        Stop,
        Summary,
    )


def report(calibration: Calibration) -> Group:
    """The choices by budget and bin, what they gain, and how good the prediction is."""
    return Group(*_parts(calibration))


def _parts(calibration: Calibration) -> Iterator[RenderableType]:
    yield _choices(calibration)
    for n, summary in calibration["summary"].items():
        yield Text(_gains(n, summary))
    yield Text(f"\n{_trust(calibration['stop_score'], calibration['stop'])}\n")
    yield _predictors(calibration)
    for one in _used(calibration):
        yield _confusion(one)


def _choices(calibration: Calibration) -> Table:
    verifier = calibration["prm"] or "none"
    drawn = _table(
        f"policy {calibration['policy']}, verifier {verifier}, "
        f"{calibration['questions']} questions of {calibration['dataset']}\n"
        "accuracy in %, on the half that did not choose, with 95 % intervals"
    )
    for name in ("N", "bin", "chance", "questions"):
        drawn.add_column(name, justify="right", no_wrap=True)
    drawn.add_column("strategy")
    drawn.add_column("answer by", no_wrap=True)
    drawn.add_column("chosen", justify="right", style="bold", no_wrap=True)
    drawn.add_column("best-of-N", justify="right", no_wrap=True)
    drawn.add_column("one for all", justify="right", no_wrap=True)
    for n, cells in calibration["cells"].items():
        summary = calibration["summary"][n]
        baseline, fixed = (
            summary[name]["choice"]["strategy"] for name in ("baseline", "fixed")
        )
        edges = [*calibration["edges"][n], 0.0]
        for cell, edge in zip(cells, edges, strict=True):
            drawn.add_row(
                n if cell["bin"] == 1 else "",
                str(cell["bin"]),
                f"≥ {edge:.2f}",
                str(cell["n"]),
                cell["choice"]["strategy"],
                _way(cell["choice"]),
                _percent(cell),
                _share(cell, baseline),
                _share(cell, fixed),
            )
        drawn.add_section()
    return drawn


def _gains(n: str, summary: Summary) -> str:
    """What choosing by bin was worth at one budget."""
    fixed, baseline = summary["fixed"], summary["baseline"]
    parts = [
        f"N = {n}: chosen by bin {_percent(summary['routed'])}",
        f"one for all ({fixed['choice']['strategy']}) {_percent(fixed)}",
        f"{baseline['choice']['strategy']} {_percent(baseline)}",
    ]
    for name, gain in (
        ("one for all", summary["gain_over_fixed"]),
        (baseline["choice"]["strategy"], summary["gain_over_baseline"]),
    ):
        low, high = (100 * end for end in gain["interval"])
        parts.append(
            f"{100 * gain['difference']:+.1f} ({low:+.1f} to {high:+.1f}) over {name}"
        )
    return "; ".join(parts)


def _trust(score: float | None, stop: Stop) -> str:
    if score is None:
        return f"No score settles an answer with {stop['target']:.0%} right."
    found = ", ".join(
        f"{one['precision']:.1%} of {one['coverage']:.0%} at {one['samples']}"
        for one in stop["trust"]
        if one["precision"] is not None
    )
    return (
        f"A last score of {score:.3f} settles an answer; right on other questions, by "
        f"number of samples: {found}"
    )


def _predictors(calibration: Calibration) -> Table:
    used = _used(calibration)
    drawn = _table("predicted difficulty against pass@1 (* is used)")
    drawn.add_column("predictor", no_wrap=True)
    for name in ("first samples", "rank correlation", "Brier"):
        drawn.add_column(name, justify="right", no_wrap=True)
    for one in calibration["predictions"]:
        low, high = one["interval"]
        drawn.add_row(
            one["predictor"] + (" *" if one in used else ""),
            str(one["samples"]),
            f"{one['rank_correlation']:.3f} ({low:.3f} to {high:.3f})",
            f"{one['brier']:.3f}",
        )
    return drawn


def _used(calibration: Calibration) -> list[Prediction]:
    return [
        one
        for one in calibration["predictions"]
        if one["predictor"] == calibration["predictor"]
        and one["samples"] in calibration["samples"].values()
    ]


def _confusion(one: Prediction) -> Table:
    drawn = _table(
        f"questions by predicted bin (rows; {one['predictor']}, first samples: "
        f"{one['samples']}) and by bin of pass@1 (columns)"
    )
    drawn.add_column("", justify="right")
    for column in range(len(one["confusion"][0])):
        drawn.add_column(str(column + 1), justify="right")
    for row, counts in enumerate(one["confusion"], start=1):
        drawn.add_row(str(row), *map(str, counts))
    return drawn


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )


def _way(choice: Choice) -> str:
    majority = choice["vote"] == "majority"
    return "majority" if majority else f"{choice['score']}-{choice['vote']}"


def _share(cell: Cell, strategy: str) -> str:
    return f"{100 * cell['arms'][strategy]:.1f}"


def _percent(measured: Measured) -> str:
    low, high = (100 * end for end in measured["interval"])
    return f"{100 * measured['accuracy']:.1f} ({low:.0f}–{high:.0f})"
