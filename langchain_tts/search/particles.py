"""Particles: which proposed steps of a particle filter go on, with what weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from langchain_tts.search.likelihood import log_score
from langchain_tts.search.resample import effective_sample_size, resample
from langchain_tts.search.select import Selection, expandable, rank
from langchain_tts.search.state import Candidate
from langchain_tts.search.ties import log_key


class Resampling(NamedTuple):
    """How a population is resampled."""

    below: float
    """Where the effective sample size is under this share of the places."""
    temperature: float
    offset: float
    """Uniformly random in [0, 1)."""


def anneal(first: float, turn: int) -> float:
    """The temperature of round `turn` (from 1): `first` at first, then falling to 1."""
    return 1 + (first - 1) / turn


def filter_particles(
    tree: Sequence[Candidate],
    proposed: Sequence[int],
    inherited: Mapping[int | None, float],
    places: int,
    resampling: Resampling,
) -> Selection:
    """Weigh the proposed steps, and resample them where their weights are too uneven.

    A step that cannot be continued has weight 0: it takes no part, and the next
    resampling gives its place to another.

    Args:
        tree: The search tree.
        proposed: Ids of the last round's candidates.
        inherited: The log-weight of each parent.
        places: Particles that there may be.
        resampling: When and how to resample.

    Returns:
        The particles, best first, one that was drawn several times as often as that;
        their log-weights (`weights`); and the steps that go no further.
    """
    going = expandable(tree, proposed)
    log_weight = {
        i: inherited.get(tree[i]["parent"], 0.0) + log_score(tree[i]["score"])
        for i in going
    }
    key = {i: log_key(log) for i, log in log_weight.items()}
    ranked = sorted(rank(tree, going), key=lambda i: -key[i])
    logs = [log_weight[i] for i in ranked]
    counts = [1] * len(ranked)
    if ranked and effective_sample_size([*key.values()]) < resampling.below * places:
        counts, logs = resample(
            logs,
            places,
            temperature=resampling.temperature,
            offset=resampling.offset,
        )
    particles = [
        (i, log)
        for i, log, count in zip(ranked, logs, counts, strict=True)
        for _ in range(count)
    ]
    alive = {i for i, _ in particles}
    active = [i for i in proposed if tree[i]["status"] == "active"]
    return Selection(
        kept=[i for i, _ in particles],
        pruned=[i for i in active if i not in alive],
        memory={"weights": [log for _, log in particles]},
    )
