"""Keys and values of token prefixes, kept for whoever continues them.

A radix tree over token ids (as in SGLang; vLLM hashes blocks of 16 tokens instead):
prefixes are compared token by token, so a hit is exact, may end anywhere, and a beam's
next step finds all that its parent computed. The least recently used leaves go first
when the byte limit is passed.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


@dataclass(slots=True, eq=False)
class _Node:
    """A run of tokens after `parent`'s; siblings differ in their first token."""

    ids: list[int]
    kv: Tensor | None
    parent: _Node | None
    children: dict[int, _Node] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return 0 if self.kv is None else self.kv.nbytes


class Match(NamedTuple):
    """The longest stored prefix of some token ids."""

    length: int
    """Tokens."""
    segments: list[Tensor]
    """Their keys and values in order: (layers, 2, heads, tokens, head size) each."""
    place: tuple[int, int]
    """Where in the tree it ends: equal places mean equal prefixes."""


def common_length(left: Sequence[int], right: Sequence[int]) -> int:
    """How many leading tokens two sequences share."""
    shortest = min(len(left), len(right))
    if left[:shortest] == right[:shortest]:
        return shortest
    return next(i for i in range(shortest) if left[i] != right[i])


class PrefixStore:
    """A radix tree of keys and values with a byte limit.

    Args:
        byte_limit: What `evict` leaves at most.
    """

    def __init__(self, byte_limit: int) -> None:
        """Start empty."""
        self.byte_limit = byte_limit
        self.bytes = 0
        self._root = _Node(ids=[], kv=None, parent=None)
        # A node is always touched before its parent, so the oldest one is a leaf.
        self._recent: OrderedDict[_Node, None] = OrderedDict()

    def match(self, ids: list[int], limit: int) -> Match:
        """Find the longest stored prefix of `ids[:limit]`."""
        node, offset, length = self._root, 0, 0
        segments: list[Tensor] = []
        while length < limit and (child := node.children.get(ids[length])):
            wanted = min(len(child.ids), limit - length)
            offset = common_length(child.ids[:wanted], ids[length : length + wanted])
            if child.kv is not None:
                segments.append(child.kv[:, :, :, :offset])
            node, length = child, length + offset
            if offset < len(child.ids):
                break
        self._touch(node)
        return Match(length, segments, (id(node), offset))

    def insert(self, ids: list[int], read: Callable[[int, int], Tensor]) -> None:
        """Keep what is not kept yet of a prefix.

        Args:
            ids: All tokens of the prefix.
            read: Gives a copy of the keys and values of positions [start, stop).
        """
        node, length = self._root, 0
        while length < len(ids) and (child := node.children.get(ids[length])):
            common = common_length(child.ids, ids[length : length + len(child.ids)])
            if common < len(child.ids) and length + common < len(ids):
                child = self._split(child, common)
            node, length = child, length + common
            if common < len(child.ids):
                break
        else:
            if length < len(ids):
                rest = _Node(ids=ids[length:], kv=read(length, len(ids)), parent=node)
                node.children[ids[length]] = rest
                self.bytes += rest.bytes
                node = rest
        self._touch(node)

    def evict(self) -> None:
        """Drop the least recently used leaves until the byte limit is kept."""
        while self.bytes > self.byte_limit and self._recent:
            node, _ = self._recent.popitem(last=False)
            self.bytes -= node.bytes
            if node.parent is not None:
                del node.parent.children[node.ids[0]]

    def clear(self) -> None:
        """Drop everything."""
        self._root.children.clear()
        self._recent.clear()
        self.bytes = 0

    def _split(self, node: _Node, at: int) -> _Node:
        """Cut a node in two; returns the upper half."""
        if node.kv is None or node.parent is None:
            return node
        kv = node.kv
        upper = _Node(node.ids[:at], kv[:, :, :, :at].clone(), node.parent)
        node.parent.children[node.ids[0]] = upper
        upper.children[node.ids[at]] = node
        node.ids, node.kv, node.parent = node.ids[at:], kv[:, :, :, at:].clone(), upper
        # The upper half is younger than all that is below it and no younger than
        # what is above it only after the touch that ends every insertion.
        self._recent[upper] = None
        return upper

    def _touch(self, node: _Node) -> None:
        """Make a node, then each of its ancestors, the most recently used."""
        current: _Node | None = node
        while current is not None and current.parent is not None:
            self._recent[current] = None
            self._recent.move_to_end(current)
            current = current.parent
