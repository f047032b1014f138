"""The page as HTML: one file that loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources

from langchain_tts._version import __version__
from langchain_tts.evaluation.page.colors import COLORS
from langchain_tts.evaluation.page.exhibits import Exhibit, Missing, Table
from langchain_tts.evaluation.page.words import NONE, size
from langchain_tts.evaluation.store import Manifest

_NOTHING_ELSE = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What the page may load: nothing, and it runs no script."""


@dataclass(frozen=True)
class Plate:
    """An exhibit that was drawn.

    Args:
        exhibit: What it shows.
        name: Unlike any other plate's.
        wide: SVG for a page's column.
        narrow: SVG for a phone.
    """

    exhibit: Exhibit
    name: str
    wide: str
    narrow: str


@dataclass(frozen=True)
class Chapter:
    """Plates and tables under one heading."""

    heading: str
    note: str
    plates: list[Plate]
    tables: list[Table]


@dataclass(frozen=True)
class Page:
    """All that a page says, as plain text but for the plates' SVG.

    Args:
        title: Of the page.
        manifests: Of what was measured, the main one first.
        seeds: Of the sweeps.
        chapters: In order.
        losses: Searches that failed or gave something up.
        unfinished: Searches that were left out because the run goes on.
        missing: What is left out, with commands.
        commands: What measured it and made the page.
    """

    title: str
    manifests: list[Manifest]
    seeds: list[int]
    chapters: list[Chapter]
    losses: list[str]
    unfinished: list[str]
    missing: list[Missing]
    commands: list[str]


def document(page: Page) -> str:
    """The HTML of a page; every text of a run in it is escaped."""
    figures = [plate for chapter in page.chapters for plate in chapter.plates]
    numbers = {plate.name: place for place, plate in enumerate(figures, start=1)}
    body = [
        _header(page),
        _summary(page, numbers),
        *(
            _chapter(place, chapter, numbers)
            for place, chapter in enumerate(page.chapters)
        ),
        _end(page),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_NOTHING_ELSE}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(page.title)}</title>\n<style>\n{_style()}</style>\n</head>\n"
        f"<body>\n<main>\n{''.join(body)}</main>\n</body>\n</html>\n"
    )


def _style() -> str:
    light = "".join(f"--{name}:{color.light};" for name, color in COLORS.items())
    dark = "".join(f"--{name}:{color.dark};" for name, color in COLORS.items())
    rules = resources.files(__package__).joinpath("page.css").read_text("utf-8")
    return (
        f":root{{{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{rules}"
    )


def _header(page: Page) -> str:
    first = page.manifests[0]
    facts = [
        ("Data set", first["dataset"]),
        ("Questions", f"{first['questions']:,}"),
        ("Seeds", ", ".join(map(str, page.seeds))),
        (
            "Policy",
            _models([(m["policy"], m["policy_parameters"]) for m in page.manifests]),
        ),
        (
            "Verifier (PRM)",
            _models([(m["prm"], m["prm_parameters"]) for m in page.manifests]),
        ),
        ("Fingerprint", first["fingerprint"]),
        ("Package", f"langchain_tts {__version__}"),
    ]
    listed = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in facts
    )
    return (
        '<header>\n<p class="kicker">Evaluation report</p>\n'
        f'<h1>{escape(page.title)}</h1>\n<dl class="facts">{listed}</dl>\n</header>\n'
    )


def _models(models: Sequence[tuple[str | None, int]]) -> str:
    named = dict.fromkeys(
        f"{name} ({size(count)} parameters)" if name else "none"
        for name, count in models
    )
    return "; ".join(named)


def _summary(page: Page, numbers: dict[str, int]) -> str:
    items = "".join(
        f'<li><a href="#{plate.name}">Figure {numbers[plate.name]}</a>'
        f"<span>{escape(plate.exhibit.finding)}</span></li>"
        for chapter in page.chapters
        for plate in chapter.plates
    )
    notes = ""
    if page.unfinished:
        notes = (
            '<p class="note">The run is not finished. Left out until they are: '
            f"{escape('; '.join(page.unfinished))}.</p>\n"
        )
    return (
        '<section aria-labelledby="findings">\n<h2 id="findings">Findings</h2>\n'
        f'{notes}<ol class="findings">{items}</ol>\n</section>\n'
    )


def _chapter(place: int, chapter: Chapter, numbers: dict[str, int]) -> str:
    note = f'<p class="note">{escape(chapter.note)}</p>\n' if chapter.note else ""
    plates = "".join(_plate(plate, numbers[plate.name]) for plate in chapter.plates)
    tables = "".join(_own_table(table) for table in chapter.tables)
    return (
        f'<section aria-labelledby="chapter-{place}">\n'
        f'<h2 id="chapter-{place}">{escape(chapter.heading)}</h2>\n'
        f"{note}{plates}{tables}</section>\n"
    )


def _plate(plate: Plate, number: int) -> str:
    shown = plate.exhibit
    return (
        f'<article id="{plate.name}">\n<h3>{escape(shown.heading)}</h3>\n'
        f'<p class="finding">{escape(shown.finding)}</p>\n<figure>\n'
        f'<div class="wide">{plate.wide}</div>\n'
        f'<div class="narrow">{plate.narrow}</div>\n'
        f"<figcaption><b>Figure {number}.</b> {escape(shown.caption)}</figcaption>\n"
        f"</figure>\n<details><summary>Numbers</summary>\n"
        f"{_table(shown.head, shown.rows)}</details>\n</article>\n"
    )


def _own_table(table: Table) -> str:
    return (
        f"<article>\n<h3>{escape(table.heading)}</h3>\n"
        f'<p class="finding">{escape(table.finding)}</p>\n'
        f"{_table(table.head, table.rows)}"
        f'<p class="caption">{escape(table.caption)}</p>\n</article>\n'
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that scrolls by itself; the first column names the row."""
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    lines = []
    previous = None
    for first, *others in rows:
        group = ' class="group"' if previous not in (None, first) else ""
        cells = "".join(
            f'<td class="none">{NONE}</td>'
            if value == NONE
            else f"<td>{escape(value)}</td>"
            for value in others
        )
        shown = first if first != previous else ""
        name = (
            f'<span class="said">{escape(first)}</span>' if not shown else escape(first)
        )
        lines.append(f'<tr{group}><th scope="row">{name}</th>{cells}</tr>')
        previous = first
    return (
        '<div class="scroll" tabindex="0"><table><thead><tr>'
        f"{heads}</tr></thead>\n<tbody>{''.join(lines)}</tbody></table></div>\n"
    )


def _end(page: Page) -> str:
    losses = "".join(f"<li>{escape(line)}</li>" for line in page.losses)
    parts = [
        "<section>\n<h2>Failures and degradations</h2>\n",
        f"<ul>{losses}</ul>\n"
        if losses
        else "<p>No search failed or gave anything up.</p>\n",
        "</section>\n",
    ]
    if page.missing:
        items = "".join(
            f"<li>{escape(one.what)}: {escape(one.why)}."
            f"<pre>{escape(one.command)}</pre></li>"
            for one in page.missing
        )
        parts.append(f"<section>\n<h2>Left out</h2>\n<ul>{items}</ul>\n</section>\n")
    commands = "".join(f"<pre>{escape(command)}</pre>\n" for command in page.commands)
    parts.append(f"<section>\n<h2>Reproduce</h2>\n{commands}</section>\n")
    return "".join(parts)
