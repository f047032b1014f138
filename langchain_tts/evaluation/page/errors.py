"""What keeps a page from being made."""

from __future__ import annotations


class PageError(ValueError):
    """Runs that no page can be made of."""
