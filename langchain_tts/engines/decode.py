"""The running batch: rows join and leave it between any two tokens."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import torch

from langchain_tts.engines.extend import place_segments
from langchain_tts.engines.kv_cache import SlotCache
from langchain_tts.engines.rows import Rows
from langchain_tts.engines.sampling import mix, sample, uniforms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

    from langchain_tts.engines.forward import ForwardPass
    from langchain_tts.engines.prefix_store import PrefixStore
    from langchain_tts.engines.steps import StepRule
    from langchain_tts.search.state import FinishReason


_FIRST_TOKENS = 64
"""New tokens that a joining row gets room for; more when it needs more."""
_MUCH_LONGER = 4
"""Memory that is so much longer than needed is given back."""


@dataclass(slots=True)
class TokenSample:
    """What was generated for one seed."""

    ids: list[int]
    """With the end-of-answer token, where there is one."""
    logprobs: list[float]
    """One a token, at temperature 1."""
    finish_reason: FinishReason


@dataclass(slots=True, eq=False)
class Prompt:
    """Token ids to continue, once for each seed."""

    ids: list[int]
    seeds: list[int]
    by_step: bool
    max_tokens: int
    temperature: float
    deadline: float | None
    samples: list[TokenSample] = field(init=False)
    """In the order of `seeds`."""
    unfinished: int = field(init=False)
    """How many of them are still to come."""
    admitted: int = 0
    """How many seeds have (had) a row."""
    computed: int = 0
    cached: int = 0

    def __post_init__(self) -> None:
        """Nothing is finished yet."""
        self.samples = [TokenSample([], [], "length") for _ in self.seeds]
        self.unfinished = len(self.seeds)

    @property
    def stop(self) -> int:
        """The position that no new token reaches."""
        return len(self.ids) + self.max_tokens


class RunningBatch:
    """Rows of different prompts that advance together by one token an iteration.

    All that is per row lives in tensors; Python touches a row when it joins, ends, or
    has a token that may end a step.

    Args:
        forward: The model.
        store: Where the keys and values of finished steps are kept.
        rule: Where a step ends.
        eos_ids: Tokens that end an answer.
        max_rows: Rows at most.
        max_bytes: Bytes of keys and values at most; a single row always fits.
    """

    def __init__(
        self,
        forward: ForwardPass,
        store: PrefixStore,
        rule: StepRule,
        eos_ids: Iterable[int],
        *,
        max_rows: int,
        max_bytes: int,
    ) -> None:
        """Start without rows."""
        self._forward = forward
        self._store = store
        self._rule = rule
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._cache = SlotCache(forward.shape)
        self._owners: list[tuple[Prompt, int]] = []
        device = forward.device
        self._eos = frozenset(eos_ids)
        flags = torch.zeros(forward.outputs, 2, dtype=torch.bool)
        for column, tokens in enumerate((self._eos, rule.may_end)):
            # A tokenizer may know more tokens than the model predicts.
            flags[[i for i in tokens if i < len(flags)], column] = True
        self._ends_answer, self._may_end_step = flags.to(device).unbind(dim=1)
        self._length = 0
        self._reach = 0
        self._next_deadline = math.inf
        self._rows = Rows.zeros(0, 0, device)

    def __len__(self) -> int:
        """Rows that are running."""
        return len(self._owners)

    def room(self, prompt: Prompt) -> int:
        """How many more rows may join, if they are of this prompt."""
        row_bytes = max(self._reach, prompt.stop) * self._forward.shape.token_bytes
        rows = min(self._max_rows, max(1, self._max_bytes // row_bytes))
        return max(0, rows - len(self._owners))

    def admit(self, prompts: list[tuple[Prompt, int]], logits: Tensor) -> None:
        """Let rows join and give each its first token.

        Args:
            prompts: Prompts with the number of their next seeds; their tokens are in
                the store.
            logits: (prompts, vocabulary) after the last token of each.
        """
        first = len(self._owners)
        rows = first + sum(count for _, count in prompts)
        length = max(len(prompt.ids) for prompt, _ in prompts) + _FIRST_TOKENS
        if not first and self._cache.length > _MUCH_LONGER * length:
            self._cache.release()
        self._grow(rows, length)
        start = first
        for prompt, count in prompts:
            self._fill(prompt, start, start + count)
            start += count
        counts = torch.tensor([count for _, count in prompts], device=logits.device)
        self._accept(first, logits.repeat_interleave(counts, dim=0))

    def step(self) -> None:
        """Compute one more token of every row."""
        self._cut_overdue()
        rows = len(self._owners)
        if not rows:
            return
        if self._length > self._cache.length:
            self._grow(rows, self._length * 3 // 2)
        logits = self._forward(
            self._cache,
            self._rows.token[:rows, None],
            self._rows.position[:rows, None],
            self._length,
        )
        self._length += 1
        self._accept(0, logits)

    def drop(self, gone: Callable[[Prompt], bool]) -> None:
        """Free the rows of some prompts."""
        self._remove([i for i, (prompt, _) in enumerate(self._owners) if gone(prompt)])

    def clear(self) -> None:
        """Free all rows."""
        self.drop(lambda _prompt: True)

    def _grow(self, rows: int, length: int) -> None:
        """Make room for rows of a length."""
        used = len(self._owners)
        self._cache.reserve(rows, length, keep=used)
        shape = (self._cache.rows, self._cache.length)
        if tuple(self._rows.ids.shape) != shape:
            old = self._rows
            self._rows = Rows.zeros(*shape, self._forward.device)
            if used:
                self._rows.copy_from(old, used)

    def _fill(self, prompt: Prompt, first: int, last: int) -> None:
        """Set up the rows of one prompt's next seeds."""
        count, length = last - first, len(prompt.ids)
        match = self._store.match(prompt.ids, length)
        place_segments(self._cache, first, last, match.segments)
        seeds = prompt.seeds[prompt.admitted : prompt.admitted + count]
        self._owners.extend((prompt, prompt.admitted + i) for i in range(count))
        prompt.admitted += count
        rows = self._rows
        rows.position[first:last] = length - 1
        rows.start[first:last] = length
        rows.stop[first:last] = prompt.stop
        rows.key[first:last] = mix(torch.tensor(seeds, device=rows.key.device))
        rows.temperature[first:last] = prompt.temperature
        rows.by_step[first:last] = prompt.by_step
        self._length = max(self._length, length + 1)
        self._reach = max(self._reach, prompt.stop)
        if prompt.deadline is not None:
            self._next_deadline = min(self._next_deadline, prompt.deadline)

    def _accept(self, first: int, logits: Tensor) -> None:
        """Draw a token for each row from `first` on, and let finished rows leave."""
        last = len(self._owners)
        rows = self._rows
        position = rows.position[first:last].add_(1)
        tokens, logprobs = sample(
            logits,
            rows.temperature[first:last],
            uniforms(rows.key[first:last], position),
        )
        rows.token[first:last] = tokens
        written = (position - rows.start[first:last])[:, None]
        rows.ids[first:last].scatter_(1, written, tokens[:, None])
        rows.logprobs[first:last].scatter_(1, written, logprobs[:, None])
        ended = self._ends_answer[tokens] | (position + 1 >= rows.stop[first:last])
        ended |= self._may_end_step[tokens] & rows.by_step[first:last]
        self._harvest((ended.nonzero()[:, 0] + first).tolist())

    def _harvest(self, candidates: list[int], *, cut: bool = False) -> None:
        """Finish those of some rows that have ended; `cut` ends them in any case."""
        if not candidates:
            return
        rows = self._rows
        index = torch.tensor(candidates, device=rows.token.device)
        counts = (rows.position[index] + 1 - rows.start[index]).tolist()
        most = max(counts)
        ids = rows.ids[index, :most].tolist()
        logprobs = rows.logprobs[index, :most].tolist()
        finished = []
        for row, count, row_ids, row_logprobs in zip(
            candidates, counts, ids, logprobs, strict=True
        ):
            prompt, seed_index = self._owners[row]
            new = row_ids[:count]
            reason = self._finish_reason(prompt, new, cut=cut)
            if reason is None:
                continue
            known = row_logprobs[:count]
            if math.isnan(sum(known)):
                # Overflow in the model: whatever was drawn means nothing.
                new, known, reason = [], [], "failed"
            prompt.samples[seed_index] = TokenSample(new, known, reason)
            prompt.unfinished -= 1
            finished.append(row)
            if reason == "step":
                # The newest token was never an input: it has no key and value yet.
                self._store.insert(
                    prompt.ids + new[:-1], partial(self._cache.read, row)
                )
        self._remove(finished)

    def _finish_reason(
        self, prompt: Prompt, new: list[int], *, cut: bool
    ) -> FinishReason | None:
        if new[-1] in self._eos:
            return "stop"
        if prompt.by_step and self._rule.ends_step(new):
            return "step"
        return "length" if cut or len(new) >= prompt.max_tokens else None

    def _remove(self, gone: list[int]) -> None:
        """Free rows; the last rows move to their places."""
        if not gone:
            return
        left = len(self._owners) - len(gone)
        freed = set(gone)
        sources = [row for row in range(left, len(self._owners)) if row not in freed]
        targets = [row for row in gone if row < left]
        for source, target in zip(sources, targets, strict=True):
            self._owners[target] = self._owners[source]
        del self._owners[left:]
        if sources:
            self._cache.move(sources, targets, self._length)
            device = self._rows.token.device
            self._rows.move(
                torch.tensor(sources, device=device),
                torch.tensor(targets, device=device),
            )
        self._length = int(self._rows.position[:left].max()) + 1 if left else 0
        self._reach = max((prompt.stop for prompt, _ in self._owners), default=0)
        self._next_deadline = min(
            (p.deadline for p, _ in self._owners if p.deadline is not None),
            default=math.inf,
        )

    def _cut_overdue(self) -> None:
        """End the rows whose deadline has passed."""
        now = time.monotonic()
        if now < self._next_deadline:
            return
        self._harvest(
            [
                row
                for row, (prompt, _) in enumerate(self._owners)
                if prompt.deadline is not None and prompt.deadline <= now
            ],
            cut=True,
        )
