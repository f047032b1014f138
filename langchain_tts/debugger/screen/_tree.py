"""The search tree as a widget."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from langchain_tts.debugger.screen._labels import View
from langchain_tts.search.state import path

Node = TreeNode[int]


class SearchTree(Tree[int]):
    """All candidates under the question; what leads nowhere any more is folded."""

    def __init__(self) -> None:
        super().__init__(Text("question", style="bold"), id="tree")
        self.guide_depth = 3
        self._dead: set[int] = set()

    def show(self, view: View, chosen: int | None) -> None:
        """Draw the tree anew, with the cursor on a candidate.

        What is open or folded stays so, but what leads nowhere since is folded once.
        """
        folded = self._folded()
        dead = {candidate["id"] for candidate in view.tree} - view.alive
        folded |= dead - self._dead
        self._dead = dead
        if chosen is not None and chosen < len(view.tree):
            folded -= {step["id"] for step in path(view.tree, chosen)[:-1]}
        self.clear()
        places = self._fill(view, folded)
        self.root.expand()
        if chosen in places:
            self.call_after_refresh(self.move_cursor, places[chosen])

    def _fill(self, view: View, folded: set[int]) -> dict[int, Node]:
        places: dict[int, Node] = {}
        ahead = [(self.root, c) for c in reversed(view.children.get(None, []))]
        while ahead:
            parent, candidate = ahead.pop()
            i = candidate["id"]
            places[i] = parent.add(
                view.label(candidate),
                i,
                expand=i not in folded,
                allow_expand=i in view.children,
            )
            ahead += [(places[i], c) for c in reversed(view.children.get(i, []))]
        return places

    def _folded(self) -> set[int]:
        """The candidates whose children are not shown."""
        folded: set[int] = set()
        ahead = [*self.root.children]
        while ahead:
            node = ahead.pop()
            if node.allow_expand and not node.is_expanded and node.data is not None:
                folded.add(node.data)
            ahead += node.children
        return folded
