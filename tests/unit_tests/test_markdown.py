from __future__ import annotations

import pytest

from langchain_tts._markdown import DocumentError, fill, table


def test_a_table_has_a_line_for_each_row() -> None:
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_filling_replaces_the_marked_part_and_keeps_the_rest() -> None:
    page = "before\n<!-- a: begin -->\nold\n<!-- a: end -->\nafter\n"
    filled = fill(page, "a", "new")
    expected = "before\n<!-- a: begin -->\n\nnew\n\n<!-- a: end -->\nafter\n"
    assert filled == expected
    assert fill(filled, "a", "new") == filled


@pytest.mark.parametrize(
    "page", ["", "<!-- a: begin -->\nno end", "<!-- b: begin --><!-- b: end -->"]
)
def test_a_page_without_the_part_is_refused(page: str) -> None:
    with pytest.raises(DocumentError, match="no part between <!-- a: begin -->"):
        fill(page, "a", "new")
