"""Particle filter: N answers side by side, of which likely ones take others' places.

Puri et al. 2025, "A probabilistic inference approach to inference-time scaling of LLMs
using particle-based Monte Carlo methods" (arXiv 2502.01618).

1. Each of N particles takes one step, sampled from the policy.
2. The verifier's score of its steps so far is the likelihood that they are right: the
   particle's weight is multiplied by it. A score counts as 1e-9 at least, so where all
   are 0 nothing is preferred.
3. A particle whose step ends its answer is a final candidate: it leaves the population
   and keeps its place among the N, so L = N - (final candidates) places are left. A
   particle whose step was cut, lost or empty has weight 0.
4. Where the effective sample size (sum w)^2 / (sum w^2) is under `resample_below` x L,
   L particles are drawn from the population in proportion to their weights by
   systematic resampling; then all weights are even. One that is drawn three times takes
   its next step three times, one that is not drawn is pruned.
5. Go on with 1 for all particles, for at most `max_rounds` rounds, until all are final.
6. Vote over the final candidates.

With `annealing` above 1, particles are drawn in proportion to w^(1 / tau), with tau = 1
+ (`annealing` - 1) / t in round t, and keep the weight w / w^(1 / tau), so that the
weighted population still stands for the same distribution. This is after the entropic
annealing of Giannone et al. 2025 (arXiv 2510.05825): a verifier that is too sure of the
first steps must not end the variety at once. Theirs are the flatter distribution in
early rounds and that it is used only where the weights have collapsed, which is judged
by the effective sample size, here as in their code. The course of tau and the
correction of the weights are not theirs, and their look-ahead is left out.

Puri et al. resample in every round (`resample_below=1`), and their code takes the odds
of a score as the weight, not the score.

    START -> propose -> score -> select -> propose ... -> aggregate -> END

Cost: at most N proposals a round and N final candidates. Copies of one particle are one
request, and the verifier reads each distinct step once.
"""

from __future__ import annotations

import random
from collections import Counter

from langchain_tts.search.particles import Resampling, anneal, filter_particles
from langchain_tts.search.select import Selection
from langchain_tts.strategies import _step_search
from langchain_tts.strategies._admission import Expansion
from langchain_tts.strategies._given import own_finals
from langchain_tts.strategies._graph import Graph
from langchain_tts.strategies._proposal import sample_seed
from langchain_tts.strategies._setting import Setting
from langchain_tts.strategies.state import SearchState


def build() -> Graph:
    """Build the graph of the particle filter."""
    return _step_search.build("particle_filter", _plan, _choose)


def _plan(state: SearchState, setting: Setting) -> list[Expansion]:
    """One next step for each particle; copies of a particle are one expansion."""
    particles = state.get("frontier", [])
    if not particles:
        return [Expansion(None, setting.budget.samples)]
    return [Expansion(*pair) for pair in Counter(particles).items()]


def _choose(state: SearchState, setting: Setting) -> Selection:
    tree, turn = state["tree"], state.get("round", 0) + 1
    resampling = Resampling(
        below=setting.context.resample_below,
        temperature=anneal(setting.context.annealing, turn),
        offset=_offset(state["seed"], turn),
    )
    places = setting.budget.samples - len(own_finals(state))
    return filter_particles(
        tree, state["proposed"], _weights(state), places, resampling
    )


def _weights(state: SearchState) -> dict[int | None, float]:
    """The log-weight of each particle that took the last step.

    Raises:
        ValueError: If the state was changed by hand, and only in part.
    """
    particles = state.get("frontier", [])
    # Before the first choice there are particles only where some were put by hand.
    weights = state.get("weights", [0.0] * len(particles))
    if len(particles) != len(weights):
        msg = (
            f"the frontier has {len(particles)} particles, but there are "
            f"{len(weights)} weights; change both together"
        )
        raise ValueError(msg)
    return dict(zip(particles, weights, strict=True))


def _offset(seed: int, turn: int) -> float:
    """The random number of a resampling; no sample has a negative place."""
    return random.Random(sample_seed(seed, -turn)).random()
