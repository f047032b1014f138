"""Makes a page and its figures out of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from langchain_tts.evaluation.page.across import (
    cost_table,
    losses,
    predicted_exhibit,
    sizes_exhibit,
)
from langchain_tts.evaluation.page.canvas import drawing, png
from langchain_tts.evaluation.page.document import (
    Chapter,
    Page,
    Plate,
    document,
)
from langchain_tts.evaluation.page.exhibits import Exhibit, Missing, exhibits
from langchain_tts.evaluation.page.predicted import predicted
from langchain_tts.evaluation.page.reproduce import eval_command
from langchain_tts.evaluation.page.resampling import Bootstrap
from langchain_tts.evaluation.page.sizes import sizes
from langchain_tts.evaluation.page.study import Setting, settings
from langchain_tts.evaluation.store import Run
from langchain_tts.search.calibration import Calibration


@dataclass(frozen=True)
class Built:
    """A page and its figures.

    Args:
        html: The page, whole in itself.
        figures: PNGs by file name.
    """

    html: str
    figures: dict[str, bytes]


def build(
    runs: Sequence[Run],
    *,
    command: str,
    calibration: Calibration | None = None,
    title: str | None = None,
) -> Built:
    """Make the page of runs on the same questions.

    Args:
        runs: The first one is the page's main one.
        command: What makes the page again.
        calibration: Whose predictions are compared with the oracle.
        title: Of the page; None: of what it is.

    Raises:
        PageError: If the runs are of different questions, if nothing in them is
            finished, if the calibration is of other models, or without matplotlib.
    """
    found = settings(runs)
    bootstrap = Bootstrap(len(found[0].ids))
    figures: dict[str, bytes] = {}
    with drawing():
        chapters, missing = _own_chapters(found, bootstrap, figures)
        shared, others = _shared(found, bootstrap, calibration)
        plates = [_plate(one, "", figures) for one in shared]
    chapters.append(Chapter("All policies", "", plates, [cost_table(found)]))
    page = Page(
        title=title or f"Test-time scaling on {found[0].manifest['dataset']}",
        manifests=[setting.manifest for setting in found],
        seeds=found[0].seeds,
        chapters=chapters,
        losses=[line for setting in found for line in losses(setting)],
        unfinished=[one for setting in found for one in setting.unfinished],
        missing=[*missing, *others],
        commands=[*(eval_command(run.manifest) for run in runs), command],
    )
    return Built(document(page), figures)


def _own_chapters(
    found: Sequence[Setting], bootstrap: Bootstrap, figures: dict[str, bytes]
) -> tuple[list[Chapter], list[Missing]]:
    chapters, missing = [], []
    for place, setting in enumerate(found):
        # A policy that only answered greedily is a line of the figure of sizes.
        if place and set(setting.arms) == {"greedy"}:
            continue
        shown, left_out = exhibits(setting, bootstrap)
        prefix = f"{place + 1}-" if len(found) > 1 else ""
        plates = [_plate(one, prefix, figures) for one in shown]
        manifest = setting.manifest
        name = f"Policy {manifest['policy']}, " + (
            f"verifier {manifest['prm']}" if manifest["prm"] else "no verifier"
        )
        others = ", ".join(f"{k} = {v}" for k, v in manifest["parameters"].items())
        chapters.append(Chapter(name, others, plates, []))
        # What one policy lacks the next one lacks too: said once.
        missing += left_out if not place else []
    return chapters, missing


def _shared(
    found: Sequence[Setting],
    bootstrap: Bootstrap,
    calibration: Calibration | None,
) -> tuple[list[Exhibit], list[Missing]]:
    shown, missing = [], []
    manifest = found[0].manifest
    compared = sizes(found, bootstrap)
    if compared is None:
        why = "it takes greedy answers of two policies of known size"
        command = eval_command(manifest, strategies=["greedy"], policy="LARGER_POLICY")
        missing.append(Missing("small against large policies", why, command))
    else:
        shown.append(sizes_exhibit(compared, len(found[0].ids)))
    if calibration is None:
        why = "no calibration was given"
        command = "langchain-tts report RUN --calibration FILE"
        missing.append(Missing("predicted difficulty", why, command))
    elif not any(calibration["samples"].values()):
        why = "by this calibration one strategy is the best for all questions at each N"
        more = "langchain-tts calibrate, with more questions or other strategies"
        missing.append(Missing("predicted difficulty", why, more))
    else:
        shown.append(predicted_exhibit(predicted(found, calibration)))
    return shown, missing


def _plate(exhibit: Exhibit, prefix: str, figures: dict[str, bytes]) -> Plate:
    """Draw an exhibit: for the page, for a phone, and for papers."""
    from langchain_tts.evaluation.page.svg import inline_svg

    name = prefix + exhibit.key
    wide = exhibit.draw(True)  # noqa: FBT003 (`draw` takes nothing else)
    narrow = exhibit.draw(False)  # noqa: FBT003
    # Before the SVG: it places the figure's parts.
    figures[f"{name}.png"] = png(wide)
    return Plate(
        exhibit=exhibit,
        name=name,
        wide=inline_svg(wide, f"w-{name}", exhibit.heading),
        narrow=inline_svg(narrow, f"n-{name}", exhibit.heading),
    )


def write(built: Built, out: Path) -> Path:
    """Write a page and its figures.

    Args:
        built: The page.
        out: An HTML file, which has its figures beside it in a folder of its name; or a
            folder for both.

    Returns:
        Where the page is.
    """
    page = out if out.suffix in (".html", ".htm") else out / "report.html"
    folder = page.with_name(f"{page.stem}_figures")
    folder.mkdir(parents=True, exist_ok=True)
    page.write_text(built.html, encoding="utf-8")
    for name, content in built.figures.items():
        (folder / name).write_bytes(content)
    return page
