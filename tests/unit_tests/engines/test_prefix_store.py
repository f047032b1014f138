"""The store of prefixes: exact hits, shared memory, least recently used first."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from langchain_tts.engines.prefix_store import PrefixStore

TOKEN_BYTES = 4


def kv(ids: list[int], start: int, stop: int) -> Tensor:
    """A fake cache entry that holds the token ids themselves."""
    return torch.tensor(ids[start:stop], dtype=torch.float32).view(1, 1, 1, -1, 1)


def insert(store: PrefixStore, ids: list[int]) -> None:
    store.insert(ids, lambda start, stop: kv(ids, start, stop))


def found(store: PrefixStore, ids: list[int], limit: int | None = None) -> list[int]:
    match = store.match(ids, len(ids) if limit is None else limit)
    tokens = [int(t) for segment in match.segments for t in segment.flatten()]
    assert len(tokens) == match.length
    return tokens


def test_the_longest_stored_prefix_is_found_token_by_token() -> None:
    store = PrefixStore(10**6)
    insert(store, [1, 2, 3, 4])
    insert(store, [1, 2, 5, 6])
    assert found(store, [1, 2, 3, 9]) == [1, 2, 3]
    assert found(store, [1, 2, 5, 6, 7]) == [1, 2, 5, 6]
    assert found(store, [1, 2, 3, 4], limit=3) == [1, 2, 3]
    assert found(store, [2, 1]) == []


def test_shared_prefixes_are_held_once() -> None:
    store = PrefixStore(10**6)
    for last in range(10):
        insert(store, [1, 2, 3, 4, 100 + last])
    assert store.bytes == (4 + 10) * TOKEN_BYTES
    insert(store, [1, 2, 3])
    assert store.bytes == (4 + 10) * TOKEN_BYTES


def test_equal_places_mean_equal_prefixes() -> None:
    store = PrefixStore(10**6)
    insert(store, [1, 2, 3, 4])
    places = {
        tuple(ids[:n]): store.match(ids, n).place
        for ids in ([1, 2, 3, 4], [1, 2, 3, 5])
        for n in range(4)
    }
    assert len(set(places.values())) == len(places) == 4


def test_the_least_recently_used_goes_first_and_prefixes_stay_whole() -> None:
    store = PrefixStore(6 * TOKEN_BYTES)
    insert(store, [1, 2, 3])
    insert(store, [1, 2, 4])
    insert(store, [7, 8])
    found(store, [1, 2, 3])
    store.evict()
    assert store.bytes == 6 * TOKEN_BYTES
    insert(store, [9])
    store.evict()
    assert found(store, [1, 2, 4]) == [1, 2]
    assert found(store, [1, 2, 3]) == [1, 2, 3]
    assert found(store, [9]) == [9]


def test_any_order_of_use_finds_only_what_was_stored() -> None:
    rng = random.Random(0)
    for limit in (0, 40, 200, 10**6):
        store = PrefixStore(limit)
        stored: set[tuple[int, ...]] = set()
        for _ in range(300):
            ids = [rng.randrange(3) for _ in range(rng.randrange(1, 9))]
            if rng.random() < 0.5:
                insert(store, ids)
                stored |= {tuple(ids[:n]) for n in range(1, len(ids) + 1)}
                store.evict()
                assert store.bytes <= limit
            else:
                hit = found(store, ids)
                assert hit == ids[: len(hit)]
                assert not hit or tuple(hit) in stored
                longest = max(
                    (n for n in range(len(ids) + 1) if tuple(ids[:n]) in stored),
                    default=0,
                )
                assert limit < 10**6 or len(hit) == longest
