"""A drawn figure as SVG inside a page: its colors are variables of the page."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import matplotlib as mpl

from langchain_tts.evaluation.page.colors import COLORS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"

_VARIABLES = {color.light: f"var(--{name})" for name, color in COLORS.items()}
_COLOR = re.compile("|".join(_VARIABLES))
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_FONT = re.compile(r"'DejaVu Sans'|&quot;DejaVu Sans&quot;|DejaVu Sans")

_LARGEST = 112
"""Pixels of the page an inch of a figure takes at most."""


def inline_svg(drawn: Figure, name: str, title: str) -> str:
    """A figure as an element of a page.

    Args:
        drawn: The figure, drawn in the light colors.
        name: Unlike that of any other figure of the page; begins its ids.
        title: What a screen reader says.
    """
    out = io.BytesIO()
    # Ids are hashes of what is drawn: the same run gives the same page.
    with mpl.rc_context({"svg.hashsalt": name}):
        drawn.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    root = ET.fromstring(out.getvalue())  # noqa: S314 (our own drawing)
    for part in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(part)
    for element in root.iter():
        _adopt(element, name)
    # A small figure is not blown up to the width of the page.
    width = _LARGEST * drawn.get_figwidth()
    root.set("style", f"max-width:{width:.0f}px")
    for size in ("width", "height"):
        del root.attrib[size]
    root.set("role", "img")
    root.set("aria-label", title)
    return ET.tostring(root, encoding="unicode", short_empty_elements=True)


def _adopt(element: ET.Element, name: str) -> None:
    """Make an element one of the page: no namespaces, its own ids, the page's style."""
    element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
    reference = element.attrib.pop(f"{{{_XLINK}}}href", None)
    if reference is not None:
        element.set("href", f"#{name}-{reference.removeprefix('#')}")
    if "id" in element.attrib:
        element.set("id", f"{name}-{element.attrib['id']}")
    for key in ("clip-path", "style"):
        if key in element.attrib:
            text = _REFERENCE.sub(rf"url(#{name}-\1)", element.attrib[key])
            text = _COLOR.sub(lambda found: _VARIABLES[found[0]], text)
            element.set(key, _FONT.sub("var(--sans)", text))
