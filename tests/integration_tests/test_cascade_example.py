"""`examples/cascade.py`, with the models in the package."""

from __future__ import annotations

import re

import pytest

from examples import cascade


def test_a_cascade_is_compared_with_its_largest_policy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cascade.main()
    printed = capsys.readouterr().out
    right = {
        name: int(found.group(1))
        for name in cascade.SETTINGS
        if (found := re.search(rf"{name} +│ (\d+) of 30", printed))
    }
    assert list(right) == list(cascade.SETTINGS)
    assert min(right.values()) >= 15
    # The embedded policies know what they are asked here; the smallest one does not.
    assert re.search(r"1?\d tinymath, 1?\d tinymath-large", printed)
    assert re.search(r"85-78\? tinymath-small \(0\.\d\d\) -> tinymath", printed)
