from __future__ import annotations

import math

import pytest

from langchain_tts.search.particles import Resampling, anneal, filter_particles
from langchain_tts.search.select import Selection
from langchain_tts.search.state import Candidate
from tests.unit_tests.search.test_select import candidate

NEVER = Resampling(below=0.0, temperature=1.0, offset=0.5)
UNEVEN = Resampling(below=1.0, temperature=1.0, offset=0.5)


def weights(selection: Selection) -> list[float]:
    return [math.exp(log) for log in selection.memory["weights"]]


def test_a_weight_is_the_product_of_the_scores_since_the_last_resampling() -> None:
    tree = [candidate(0, 7, score=0.5), candidate(1, 9, score=0.25)]
    inherited: dict[int | None, float] = {7: math.log(0.5), 9: math.log(0.8)}
    selection = filter_particles(tree, [0, 1], inherited, 2, NEVER)
    assert selection.kept == [0, 1]
    assert weights(selection) == pytest.approx([0.25, 0.2])


def test_without_resampling_all_go_on_the_best_first() -> None:
    tree = [candidate(i, score=score) for i, score in enumerate([0.0, 0.9, 0.1])]
    selection = filter_particles(tree, [0, 1, 2], {}, 3, NEVER)
    assert (selection.kept, selection.pruned) == ([1, 2, 0], [])


def test_resampled_particles_are_repeated_or_pruned_and_weigh_the_same() -> None:
    # Shares 0.75, 0.2 and 0.05 of 4 places: 3, 0.8 and 0.2, which end at 3, 3.8 and 4.
    # Places are at 0.5, 1.5, 2.5 and 3.5.
    tree = [candidate(i, score=score) for i, score in enumerate([0.04, 0.6, 0.16])]
    selection = filter_particles(tree, [0, 1, 2], {}, 4, UNEVEN)
    assert selection.kept == [1, 1, 1, 2]
    assert selection.pruned == [0]
    assert selection.memory == {"weights": [0.0, 0.0, 0.0, 0.0]}


def test_resampling_waits_until_the_weights_are_too_uneven() -> None:
    # (0.9 + 0.3)^2 / (0.81 + 0.09) = 1.6 of 2 places.
    tree = [candidate(0, score=0.9), candidate(1, score=0.3)]
    for below, kept in ((0.79, [0, 1]), (0.81, [0, 0])):
        resampling = Resampling(below, temperature=1.0, offset=0.3)
        # The first has 1.5 of 2 places, which are at 0.3 and 1.3.
        assert filter_particles(tree, [0, 1], {}, 2, resampling).kept == kept


def test_even_weights_are_never_resampled() -> None:
    tree = [candidate(i, score=0.1) for i in range(3)]
    selection = filter_particles(tree, [0, 1, 2], {}, 3, UNEVEN)
    assert selection.kept == [0, 1, 2]
    assert weights(selection) == pytest.approx([0.1] * 3)


def test_where_all_scores_are_zero_none_is_preferred() -> None:
    tree = [candidate(i, score=0.0) for i in range(3)]
    assert filter_particles(tree, [0, 1, 2], {}, 3, UNEVEN).kept == [0, 1, 2]


def test_dead_particles_have_no_weight_and_lose_their_places_to_others() -> None:
    tree: list[Candidate] = [
        candidate(0, score=0.5),
        candidate(1, status="truncated", score=None),
        candidate(2, text=" ", score=0.9),
        candidate(3, status="failed", score=None),
    ]
    half = Resampling(below=0.5, temperature=1.0, offset=0.5)
    selection = filter_particles(tree, range(4), {}, 4, half)
    assert selection == Selection([0, 0, 0, 0], [2], {"weights": [0.0] * 4})
    assert filter_particles(tree, range(4), {}, 4, NEVER).kept == [0]


def test_finished_particles_take_no_part() -> None:
    tree = [candidate(0, score=0.9, status="finished"), candidate(1, score=0.2)]
    selection = filter_particles(tree, [0, 1], {}, 1, UNEVEN)
    assert (selection.kept, selection.pruned) == ([1], [])


def test_without_any_particle_left_nothing_goes_on() -> None:
    tree = [candidate(0, score=0.9, status="finished"), candidate(1, text="")]
    selection = filter_particles(tree, [0, 1], {}, 1, UNEVEN)
    assert selection == Selection([], [1], {"weights": []})


def test_particles_without_scores_are_even() -> None:
    tree = [candidate(i, score=None) for i in range(3)]
    assert filter_particles(tree, [0, 1, 2], {}, 3, UNEVEN).kept == [0, 1, 2]


def test_the_temperature_falls_from_the_first_round_to_one() -> None:
    assert [anneal(4.0, turn) for turn in (1, 2, 3)] == [4.0, 2.5, 2.0]
    assert anneal(4.0, 300) == pytest.approx(1.01)
    assert {anneal(1.0, turn) for turn in range(1, 9)} == {1.0}


@pytest.mark.parametrize("noise", [1e-7, 0.0, -1e-7])
def test_particles_of_equal_weight_keep_their_order(noise: float) -> None:
    tree = [candidate(0, score=0.5), candidate(1, score=0.5 + noise)]
    inherited: dict[int | None, float] = {None: math.log(0.8)}
    selection = filter_particles(tree, [0, 1], inherited, 2, NEVER)
    assert selection.kept == [0, 1]
    # What a weight is has all its digits.
    expected = pytest.approx([0.4, 0.4 + 0.8 * noise], rel=1e-12)
    assert weights(selection) == expected


@pytest.mark.parametrize("noise", [1e-7, 0.0, -1e-7])
def test_as_many_even_weights_as_are_asked_for_are_not_resampled(noise: float) -> None:
    # Two of four places are even, which is not less than a half.
    tree = [candidate(0, score=0.5), candidate(1, score=0.5 + noise)]
    half = Resampling(below=0.5, temperature=1.0, offset=0.5)
    assert filter_particles(tree, [0, 1], {}, 4, half).kept == [0, 1]
