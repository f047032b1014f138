"""Compute new tokens of many prefixes at once, each distinct prefix exactly once."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import torch

from langchain_tts.engines.kv_cache import SlotCache
from langchain_tts.engines.prefix_store import PrefixStore, common_length

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from langchain_tts.engines.forward import ForwardPass

_BATCH_TOKENS = 4096
_LOGITS_BYTES = 256 * 2**20
_WORK_BYTES = 2**30
_PADDING = 1.25
"""Rows share a forward pass while it has at most this many times their tokens."""
_FREE_PADDING = 256
"""Tokens of padding that cost less than a forward pass of their own."""


@dataclass(slots=True, eq=False)
class Extension:
    """Token ids, and the positions whose predictions are wanted.

    Everything up to the first wanted position may come from the store; that position
    and all after it are computed.

    Args:
        ids: All token ids; the last one is at the last wanted position.
        wanted: Positions whose next-token predictions are wanted, ascending.
        targets: One token id a wanted position: its log-probability is the result.
            None: the result is logits.
        columns: Outputs (token ids) whose logits are the result; None: all.
    """

    ids: list[int]
    wanted: Sequence[int]
    targets: list[int] | None = None
    columns: list[int] | None = None
    values: list[Tensor] = field(default_factory=list)
    """The result in parts: (n,) log-probabilities or (n, columns) logits."""
    computed: int = 0
    """Tokens computed for this extension (one that is shared counts once)."""
    done: int = 0
    """Up to here tokens are looked up, not computed."""

    @classmethod
    def logprobs(cls, ids: list[int], start: int) -> Extension:
        """Ask for the log-probability of each of `ids[start:]` (start at least 1).

        The last token itself is not computed: nothing asked for depends on it, and
        whoever continues the prefix needs its prediction then.
        """
        return cls(ids[:-1], range(start - 1, len(ids) - 1), targets=ids[start:])

    @property
    def cached(self) -> int:
        """Tokens that came from the store or were computed for another extension."""
        return len(self.ids) - self.computed

    @property
    def result(self) -> Tensor:
        """All parts in one."""
        return torch.cat(self.values)


@dataclass(slots=True, eq=False)
class _Run:
    """Tokens [start, stop) of a prefix that one or more extensions share."""

    members: list[Extension]
    segments: list[Tensor]
    start: int
    stop: int

    @property
    def ids(self) -> list[int]:
        return self.members[0].ids

    @property
    def new(self) -> int:
        return self.stop - self.start


class Extender:
    """Runs batches of extensions over a store of prefixes.

    Extensions that share tokens which nobody has computed yet are computed in waves:
    first the shared run, then what follows it in each of them.

    Args:
        forward: The model.
        store: Where prefixes are found and kept.
    """

    def __init__(self, forward: ForwardPass, store: PrefixStore) -> None:
        """Start with no working memory; it grows with the batches."""
        self._forward = forward
        self._store = store
        self._cache = SlotCache(forward.shape)
        self._most_logits = max(1, _LOGITS_BYTES // (4 * forward.outputs))
        self._most_places = max(1, _WORK_BYTES // forward.shape.token_bytes)

    def run(self, extensions: Sequence[Extension]) -> None:
        """Compute all extensions; nothing is evicted from the store meanwhile."""
        waiting = list(extensions)
        for extension in waiting:
            extension.done = extension.wanted[0]
        while waiting:
            runs = self._plan(waiting)
            for batch in _batches(runs, self._most_logits, self._most_places):
                self._compute(batch)
            waiting = [one for one in waiting if one.done < len(one.ids)]

    def _plan(self, waiting: list[Extension]) -> list[_Run]:
        """Group extensions by what they compute next."""
        groups: dict[tuple[int, int, int], _Run] = {}
        for extension in waiting:
            match = self._store.match(extension.ids, extension.done)
            key = (*match.place, extension.ids[match.length])
            run = groups.get(key)
            if run is None:
                run = _Run([], match.segments, match.length, len(extension.ids))
                groups[key] = run
            run.members.append(extension)
        for run in groups.values():
            if len(run.members) > 1:
                # What the smallest and the largest share, all between them share.
                every = [member.ids for member in run.members]
                run.stop = common_length(min(every), max(every))
        return list(groups.values())

    def _compute(self, runs: list[_Run]) -> None:
        """One forward pass over runs of similar length."""
        width = max(run.new for run in runs)
        length = max(run.start for run in runs) + width
        self._cache.reserve(len(runs), length)
        for row, run in enumerate(runs):
            place_segments(self._cache, row, row + 1, run.segments)
        device = self._forward.device
        tokens = torch.tensor(
            [run.ids[run.start : run.stop] + [0] * (width - run.new) for run in runs],
            device=device,
        )
        starts = torch.tensor([run.start for run in runs], device=device)
        positions = starts[:, None] + torch.arange(width, device=device)
        select, targets, spans = _wanted(runs, width)
        logits = self._forward(
            self._cache,
            tokens,
            positions,
            length,
            torch.tensor(select, dtype=torch.long, device=device),
        )
        logprobs = logits
        if any(member.targets is not None for member, _, _ in spans):
            chosen = torch.tensor(targets, dtype=torch.long, device=device)[:, None]
            logprobs = logits.gather(1, chosen)[:, 0] - logits.logsumexp(dim=-1)
        for member, first, last in spans:
            member.values.append(_reduce(member, logits, logprobs, first, last))
        for row, run in enumerate(runs):
            self._store.insert(run.ids[: run.stop], partial(self._cache.read, row))
            run.members[0].computed += run.new
            for member in run.members:
                member.done = run.stop


def place_segments(
    cache: SlotCache, first: int, last: int, segments: Sequence[Tensor]
) -> None:
    """Copy stored segments, in order, to the beginning of some rows."""
    start = 0
    for segment in segments:
        cache.place(first, last, start, segment)
        start += segment.shape[3]


def _batches(
    runs: list[_Run], most_logits: int, most_places: int
) -> Iterator[list[_Run]]:
    """Cut runs into forward passes with little padding and bounded memory."""
    batch: list[_Run] = []
    tokens = stop = 0
    for run in sorted(runs, key=lambda run: run.new):
        rows, stop = len(batch) + 1, max(stop, run.stop)
        padded = rows * run.new
        if batch and (
            padded > _PADDING * (tokens + run.new) + _FREE_PADDING
            or padded > min(_BATCH_TOKENS, most_logits)
            or rows * stop > most_places
        ):
            yield batch
            batch, tokens, stop = [], 0, run.stop
        batch.append(run)
        tokens += run.new
    yield batch


def _wanted(
    runs: list[_Run], width: int
) -> tuple[list[int], list[int], list[tuple[Extension, int, int]]]:
    """Which of the computed tokens' predictions are wanted, by whom, and for what.

    Returns:
        Indices into the flattened tokens, a target each (0 where none is given), and
        each extension's span of them.
    """
    select: list[int] = []
    targets: list[int] = []
    spans = []
    for row, run in enumerate(runs):
        origin = row * width - run.start
        for member in run.members:
            first = bisect_left(member.wanted, run.start)
            last = bisect_left(member.wanted, run.stop)
            if first == last:
                continue
            spans.append((member, len(select), len(select) + last - first))
            select.extend(origin + position for position in member.wanted[first:last])
            targets.extend(member.targets[first:last] if member.targets else [0])
            targets.extend([0] * (len(select) - len(targets)))
    return select, targets, spans


def _reduce(
    member: Extension, logits: Tensor, logprobs: Tensor, first: int, last: int
) -> Tensor:
    """The part of a batch's predictions that an extension asked for."""
    if member.targets is not None:
        return logprobs[first:last]
    if member.columns is not None:
        return logits[first:last, member.columns]
    return logits[first:last].clone()
