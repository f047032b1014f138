"""Routing: which strategy a question gets, from its predicted chance of success.

Liu et al. 2025 (sections 4.1 and 4.2) found on MATH-500 which strategy is best for
which size of a policy and which difficulty. Their rule is the prior here, for models
that no calibration was made for.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, NotRequired

from typing_extensions import TypedDict

from langchain_tts.search.calibration import bin_of
from langchain_tts.search.state import Score, Vote

_MOST_FIRST = 8
"""First samples at most, where no calibration says how many."""

LONG_REASONING = 32_768
"""New tokens that an answer of a policy with long reasoning may need."""

Level = Literal["easy", "medium", "hard"]
"""Liu et al. 2025: by pass@1, at least 0.5, at least 0.1, below."""

_EDGES = (0.5, 0.1)
_LEVELS: tuple[Level, ...] = ("easy", "medium", "hard")
_SMALL = 7e9
_LARGE = 32e9


class Route(TypedDict):
    """What a search chose for its question, and why."""

    by: str
    """The strategy that chose."""
    n0: int
    """First whole answers, from which the difficulty was predicted; 0: it was not,
    because one strategy is the best for all questions."""
    chance: NotRequired[float | None]
    """Predicted chance that one sample is right; None where none is predicted."""
    difficulty: NotRequired[Level | None]
    """Where Liu et al.'s rule decides."""
    bin: NotRequired[int | None]
    """Of the calibration, 1 for the easiest."""
    strategy: NotRequired[str]
    """With its parameters, e.g. `beam_search?beam_width=8`."""
    taken: NotRequired[bool]
    """Whether the search went on with it: not where its answer was settled before."""
    score: NotRequired[Score]
    vote: NotRequired[Vote]
    stop_score: NotRequired[float | None]
    source: NotRequired[Literal["calibration", "prior"]]
    reason: NotRequired[str]
    saved: NotRequired[dict[str, int]]
    """What was left of the budget because the answer was settled: `samples`."""


class Models(NamedTuple):
    """What matters of the models of a search for its route."""

    parameters: int | None
    """Of the policy; None if not known."""
    by_step: bool = True
    """Whether the policy can continue steps, and the verifier scores them."""
    verifier: bool = True
    """Whether there is a verifier, and it still answers."""
    long_reasoning: bool = False
    turns: bool = False
    """Whether whole turns are asked for, with tool calls or by a schema."""


class Rule(NamedTuple):
    """What a rule says."""

    strategy: str
    why: str
    by_difficulty: bool = False
    """Whether that depends on the difficulty, which a calibration knows better."""


def level(chance: float) -> Level:
    """Liu et al.'s level of difficulty."""
    return _LEVELS[bin_of(chance, _EDGES) - 1]


def first_samples(samples: int, calibrated: int | None = None) -> int:
    """How many whole answers the difficulty is predicted from.

    Args:
        samples: N.
        calibrated: What the calibration of the models says, 0 where nothing is to be
            predicted; None: a quarter of N, at least 1 and at most 8.
    """
    if calibrated is not None:
        return min(samples, calibrated)
    return min(_MOST_FIRST, max(1, samples // 4))


def prior(chance: float | None, models: Models) -> Rule:
    """What to do without a calibration.

    Args:
        chance: Predicted chance of success; None where none is predicted.
        models: What the search has.

    Returns:
        What the models allow; among what they allow, Liu et al.'s rule.
    """
    if not models.verifier:
        return Rule("majority_vote", "there is no verifier: answers are counted")
    if models.turns:
        return Rule("best_of_n", "tool calls and answers by a schema are sampled whole")
    if not models.by_step:
        return Rule("best_of_n", "the policy or the verifier knows whole answers only")
    if models.long_reasoning:
        why = "long-reasoning policies: best-of-N with majority"
        return Rule("majority_vote", why, by_difficulty=True)
    if models.parameters is None:
        why = "the size of the policy is not known"
        return Rule("best_of_n", why, by_difficulty=True)
    return _by_size(chance or 0.0, models.parameters)


def _by_size(chance: float, parameters: int) -> Rule:
    if parameters < _SMALL:
        strategy, why = "beam_search", "policies below 7B parameters: beam search"
    elif parameters > _LARGE:
        strategy, why = "best_of_n", "policies above 32B parameters: best-of-N"
    elif level(chance) == "hard":
        strategy, why = "beam_search", "policies of 7B to 32B, hard: beam search"
    else:
        strategy, why = "dvts", "policies of 7B to 32B, easy or medium: DVTS"
    return Rule(strategy, why, by_difficulty=True)
