"""Which server of a pool gets a request."""

from __future__ import annotations

import asyncio

import pytest

from langchain_tts.engines.pool import Replica, choose

URLS = ("http://a", "http://b", "http://c")


@pytest.fixture
def replicas() -> list[Replica]:
    return [Replica(url, asyncio.Semaphore(1)) for url in URLS]


def test_without_affinity_the_least_loaded_server_is_taken(
    replicas: list[Replica],
) -> None:
    for replica, load in zip(replicas, (3, 1, 2), strict=True):
        replica.load = load
    assert choose(replicas, None, now=0.0).url == "http://b"


def test_one_subtree_stays_with_one_server(replicas: list[Replica]) -> None:
    first = choose(replicas, "question, step 1", now=0.0)
    for load in range(8):
        first.load = load
        assert choose(replicas, "question, step 1", now=0.0) is first


def test_subtrees_are_spread_over_the_servers(replicas: list[Replica]) -> None:
    chosen = [choose(replicas, f"subtree {i}", now=0.0).url for i in range(300)]
    # Each of three servers has a third, give or take four standard deviations.
    assert all(67 <= chosen.count(url) <= 133 for url in URLS)


def test_a_server_that_leaves_moves_no_other_servers_subtrees(
    replicas: list[Replica],
) -> None:
    keys = [f"subtree {i}" for i in range(100)]
    before = {key: choose(replicas, key, now=0.0) for key in keys}
    gone = replicas.pop(0)
    for key, server in before.items():
        if server is not gone:
            assert choose(replicas, key, now=0.0) is server


def test_affinity_gives_way_where_the_load_is_much_higher(
    replicas: list[Replica],
) -> None:
    home = choose(replicas, "subtree", now=0.0)
    others = [replica for replica in replicas if replica is not home]
    others[0].load = others[1].load = 10
    home.load = 28
    assert choose(replicas, "subtree", now=0.0) is home
    home.load = 29
    assert choose(replicas, "subtree", now=0.0) in others


def test_a_failed_server_is_avoided_longer_each_time(replicas: list[Replica]) -> None:
    bad = choose(replicas, "subtree", now=0.0)
    bad.failed(now=100.0, retry_after=0.0)
    assert choose(replicas, "subtree", now=100.9) is not bad
    assert choose(replicas, "subtree", now=101.0) is bad
    bad.failed(now=101.0, retry_after=0.0)
    assert choose(replicas, "subtree", now=102.9) is not bad
    assert choose(replicas, "subtree", now=103.0) is bad


def test_a_server_says_itself_for_how_long_it_is_to_be_avoided(
    replicas: list[Replica],
) -> None:
    busy = choose(replicas, "subtree", now=0.0)
    busy.failed(now=0.0, retry_after=20.0)
    assert choose(replicas, "subtree", now=19.9) is not busy
    assert choose(replicas, "subtree", now=20.0) is busy


def test_a_failed_server_gets_one_request_to_see_if_it_works(
    replicas: list[Replica],
) -> None:
    bad = choose(replicas, "subtree", now=0.0)
    bad.failed(now=0.0, retry_after=0.0)
    with bad.carrying(1):
        assert choose(replicas, "subtree", now=5.0) is not bad
        bad.succeeded()
        assert choose(replicas, "subtree", now=5.0) is bad


def test_where_all_have_failed_the_first_to_come_back_is_taken(
    replicas: list[Replica],
) -> None:
    for replica, pause in zip(replicas, (9.0, 5.0, 7.0), strict=True):
        replica.failed(now=0.0, retry_after=pause)
    assert choose(replicas, "subtree", now=0.0).url == "http://b"


def test_a_retry_goes_to_another_server_if_there_is_one(
    replicas: list[Replica],
) -> None:
    first = choose(replicas, "subtree", now=0.0)
    second = choose(replicas, "subtree", now=0.0, tried=[first])
    assert second is not first
    assert choose(replicas, "subtree", now=0.0, tried=replicas) is first


def test_a_load_is_counted_while_it_lasts_even_if_it_fails(
    replicas: list[Replica],
) -> None:
    def fail() -> None:
        with replicas[0].carrying(4):
            assert replicas[0].load == 4
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert replicas[0].load == 0
