"""What the page computes, with values worked out by hand."""

import math

import numpy as np
import pytest

from langchain_tts.evaluation.page.bins import absolute_levels, groupings, quantile_bins
from langchain_tts.evaluation.page.canvas import spread
from langchain_tts.evaluation.page.comparison import ORACLE, PREDICTED, comparison
from langchain_tts.evaluation.page.costs import cost
from langchain_tts.evaluation.page.curves import panel, pass_at, variants
from langchain_tts.evaluation.page.efficiency import compute_at, factors
from langchain_tts.evaluation.page.errors import PageError
from langchain_tts.evaluation.page.findings import of_accuracy, of_sizes, of_variants
from langchain_tts.evaluation.page.names import chosen_way, title, usual
from langchain_tts.evaluation.page.optimal import offline
from langchain_tts.evaluation.page.resampling import Bootstrap
from langchain_tts.evaluation.page.sizes import sizes
from langchain_tts.evaluation.page.study import Samples, settings
from langchain_tts.evaluation.page.tables import ratio_bars, votes
from langchain_tts.evaluation.store import Run
from tests.unit_tests.evaluation.page_runs import (
    large_run,
    manifest,
    record,
    small_run,
)

BEAM = "beam_search?beam_width=4"


def test_the_factor_is_interpolated_on_log_n() -> None:
    # 0.6 is half way between 0.5 at 16 and 0.7 at 64: at the geometric mean, 32.
    assert compute_at(0.6, [4, 16, 64], [0.3, 0.5, 0.7]) == pytest.approx(32)
    assert compute_at(0.2, [4, 16, 64], [0.3, 0.5, 0.7]) == 4
    assert compute_at(0.8, [4, 16, 64], [0.3, 0.5, 0.7]) is None


def test_a_curve_that_falls_is_reached_where_it_first_was_so_high() -> None:
    assert compute_at(0.6, [1, 4, 16], [0.4, 0.8, 0.5]) == pytest.approx(2)


def test_factors_say_where_the_other_curve_does_not_get_there() -> None:
    same = [np.full(3, value) for value in (0.6, 0.9)]
    base = [np.full(3, value) for value in (0.5, 0.7)]
    found = factors(([16, 32], [0.6, 0.9]), ([16, 64], [0.5, 0.7]), (same, base))

    assert found[0].reached == pytest.approx(32)
    assert found[0].factor == pytest.approx(2)
    assert found[0].low == pytest.approx(2)
    assert found[0].high == pytest.approx(2)
    assert found[0].text() == "2.0×"
    assert found[1].reached is None
    assert found[1].text() == ">2×"
    assert found[1].high == math.inf


def test_no_factor_where_the_other_curve_ends_at_the_same_n() -> None:
    drawn = [np.full(3, 0.9)], [np.full(3, 0.7)]
    assert factors(([64], [0.9]), ([64], [0.7]), drawn) == []


def test_questions_are_cut_into_five_quantile_bins_the_easiest_first() -> None:
    chance = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    assert quantile_bins(chance).of.tolist() == [4, 4, 3, 3, 2, 2, 1, 1, 0, 0]


def test_levels_are_absolute() -> None:
    found = absolute_levels(np.array([1.0, 0.5, 0.49, 0.1, 0.09, 0.0]))
    assert found.of.tolist() == [0, 0, 1, 1, 2, 2]
    assert [mask.sum() for _, mask in found.masks()] == [2, 2, 2]


def test_pass_at_1_is_the_share_of_right_samples() -> None:
    (setting,) = settings([small_run()])
    assert setting.samples is not None
    assert setting.samples.strategy == "best_of_n"
    assert setting.samples.pass_at_1.tolist() == [q / 10 for q in range(10)]
    # 2 of 4 right: one of two is right but for 1 of the 6 pairs.
    two_of_four = Samples("", np.array([4.0]), np.array([2.0]), [])
    assert pass_at(two_of_four, 2).tolist() == [pytest.approx(5 / 6)]


def test_bins_are_by_samples_and_by_the_data_sets_own_levels() -> None:
    (setting,) = settings([small_run()])
    assert [bins.key for bins in groupings(setting)] == ["quantiles", "levels", "own"]
    assert groupings(setting)[2].of.tolist() == [0] * 5 + [1] * 5


def test_curves_are_the_shares_of_right_answers() -> None:
    (setting,) = settings([small_run()])
    curves = {c.key: c for c in panel(setting, Bootstrap(10)).curves}

    assert [p.value for p in curves["best_of_n"].points] == [0.2, 0.4, 0.6]
    assert curves["beam_search"].title == "beam search (M = 4)"
    assert [p.value for p in curves["beam_search"].points] == [0.1, 0.5, 0.9]
    # The mean of 0, 0.1 ... 0.9.
    assert curves["pass@N"].points[0].value == pytest.approx(0.45)
    assert curves["greedy"].budgets == [1]


def test_the_band_holds_the_binomial_interval() -> None:
    marks = np.array([1.0] * 40 + [0.0] * 60)
    found = Bootstrap(100).estimate(marks)
    half = 1.96 * math.sqrt(0.4 * 0.6 / 100)
    assert found.value == 0.4
    assert found.low == pytest.approx(0.4 - half, abs=0.015)
    assert found.high == pytest.approx(0.4 + half, abs=0.015)


def test_a_group_is_resampled_among_its_own_questions() -> None:
    marks, mask = np.array([1.0, 1.0, 0.0]), np.array([True, True, False])
    assert Bootstrap(3).estimate(marks, mask) == (1.0, 1.0, 1.0)


def test_variants_are_compared_at_a_common_n() -> None:
    (setting,) = settings([small_run()])
    panels = variants(setting, Bootstrap(10))
    assert [one.name for one in panels] == ["beam search"]
    assert "by 10.0 points at N = 4" in of_variants(panels)


def test_costs_count_each_generated_token_once_for_either_model() -> None:
    (setting,) = settings([small_run()])
    beam = cost(setting, setting.arms["beam_search?beam_width=4"][4])
    # 40 tokens, 1,000 parameters and 3,000.
    assert (beam.tokens, beam.policy, beam.prm) == (40, 80_000, 240_000)
    assert beam.share == 0.75
    assert beam.computed == pytest.approx(200_000)
    greedy = cost(setting, setting.arms["greedy"][1])
    assert (greedy.prm, greedy.share) == (0, 0)


def test_what_is_read_off_a_larger_search_has_no_time_of_its_own() -> None:
    run = Run(
        manifest(questions=1),
        [record(0, "best_of_n", 4, {1: True, 4: True}, [True] * 4)],
    )
    (setting,) = settings([run])
    arms = setting.arms["best_of_n"]
    assert (arms[1].tokens.tolist(), arms[4].tokens.tolist()) == ([10], [40])
    assert cost(setting, arms[1]).seconds is None
    assert cost(setting, arms[4]).seconds == 0.5


def test_a_choice_is_measured_on_the_other_half() -> None:
    # On even questions only x is right, on odd ones only y: what one question of a bin
    # of two chooses is wrong on the other one, whichever is drawn first.
    records = [record(q, "best_of_n", 4, {4: q % 2 == 0}) for q in range(2)]
    records += [record(q, "dvts", 4, {4: q % 2 == 1}) for q in range(2)]
    (setting,) = settings([Run(manifest(questions=2), records)])
    assert offline(setting, [1, 1])[4].by_bin.right.tolist() == [0, 0]


def test_compute_optimal_is_compared_where_there_are_samples() -> None:
    (setting,) = settings([small_run()])
    found = comparison(setting, Bootstrap(10))
    assert found is not None
    assert [line.key for line in found.lines] == [PREDICTED, ORACLE]
    assert sum(found.bins) == 10
    assert all(factor.compute > 1 for told in found.by_budget for factor in told)


def test_a_small_policy_is_matched_with_the_large_ones_greedy_answer() -> None:
    found = sizes(settings([small_run(), large_run()]), Bootstrap(10))
    assert found is not None
    assert [one.policy for one in found.greedy] == ["large", "small"]
    assert found.match is not None
    one, mark = found.match
    # 0.7 of the large policy; beam search (M = 4) is right on 0.9 at N = 4.
    assert (one.key, mark.budget, mark.point.value) == ("beam_search", 4, 0.9)
    # 2 x 1,000 x 40, with the verifier 2 x 4,000 x 40; the large one 2 x 10,000 x 10.
    assert (mark.policy_flops, mark.flops) == (80_000, 320_000)
    assert "at 1.6× its FLOPs with the verifier and 0.4× without" in of_sizes(found)


def test_bars_are_by_ratio_and_by_bin() -> None:
    (setting,) = settings([small_run()])
    bars = ratio_bars(setting, groupings(setting)[2], Bootstrap(10))
    assert bars is not None
    assert bars.ratios == ["1:4", "4:1"]
    assert {r: p.value for r, p in bars.by_budget[4].items()} == {
        "1:4": 0.5,
        "4:1": 0.7,
    }
    assert bars.by_bin["level 2"][1]["4:1"].value == 0.4


def test_the_table_of_votes_has_what_was_recorded() -> None:
    (setting,) = settings([small_run()])
    table = votes(setting, Bootstrap(10))
    assert table is not None
    assert table.ways == [(None, "majority"), ("last", "max"), ("last", "vote")]
    found = {(strategy, n): of[1] for strategy, n, of in table.rows}
    beam = found["beam_search?beam_width=2", 4]
    assert beam is not None
    assert beam.value == 0.8


def test_runs_of_other_questions_are_refused() -> None:
    other = Run(manifest(fingerprint="fedcba9876543210"), [])
    with pytest.raises(PageError, match=r"different questions.*fedcba9876543210"):
        settings([small_run(), other])


def test_strategies_that_are_not_finished_are_left_out() -> None:
    run = small_run()
    cut = Run(run.manifest, run.records[:-1])
    (setting,) = settings([cut])
    assert setting.unfinished == ["greedy at N = 1"]
    assert "greedy" not in setting.arms
    with pytest.raises(PageError, match="go on with `eval`"):
        settings([Run(run.manifest, run.records[:3])])


def test_searches_that_have_not_begun_are_named() -> None:
    run = small_run()
    begun = [r for r in run.records if (r["strategy"], r["budget"]) != (BEAM, 4)]
    (setting,) = settings([Run(run.manifest, begun)])
    assert setting.unfinished == [f"{BEAM} at N = 4"]
    assert settings([run])[0].unfinished == []


def test_runs_of_the_same_models_are_one_setting() -> None:
    more = Run(
        manifest(), [record(q, "compute_optimal", 4, {4: True}) for q in range(10)]
    )
    (setting,) = settings([small_run(), more])
    assert "compute_optimal" in setting.arms


def test_a_search_that_failed_is_wrong() -> None:
    run = small_run()
    lost = record(9, "best_of_n", 4, {}, error="PolicyError: gone", samples=None)
    kept = [
        r for r in run.records if (r["id"][-1], r["strategy"]) != ("9", "best_of_n")
    ]
    (setting,) = settings([Run(run.manifest, [*kept, lost])])
    arm = setting.arms["best_of_n"][4]
    assert (arm.failed, arm.right[arm.shown][9]) == (1, 0)


def test_the_variant_with_the_defaults_stands_for_a_strategy() -> None:
    assert usual(["beam_search?beam_width=2", "beam_search?beam_width=4"]) == (
        "beam_search?beam_width=4"
    )
    assert usual(["a?x=1", "a?x=2", "a?x=3"]) == "a?x=2"
    assert title("lookahead?lookahead=2") == "lookahead (k = 2)"
    assert title("revision?sequential_to_parallel=0.25") == "revision (seq : par 1:4)"


def test_the_shown_way_is_what_the_search_was_told() -> None:
    ways = [(None, "majority"), ("min", "vote"), ("last", "max")]
    assert chosen_way("x", {}, ways) == ("last", "max")  # type: ignore[arg-type]
    told = {"score": "min", "vote": "vote"}
    assert chosen_way("x", told, ways) == ("min", "vote")  # type: ignore[arg-type]
    assert chosen_way("x?vote=max", told, ways) == (None, "majority")  # type: ignore[arg-type]


def test_labels_move_apart_as_little_as_needed() -> None:
    assert spread([10, 0], gap=1) == [10, 0]
    assert spread([0, 0.5], gap=1) == [-0.25, 0.75]
    assert spread([0, 0, 5, 0], gap=1) == [-1, 0, 5, 1]


def test_the_finding_says_with_how_much_less_best_of_n_is_matched() -> None:
    (setting,) = settings([small_run()])
    # 0.6 lies a quarter of the way from 0.5 at N = 2 to 0.9 at N = 4: 2 ** 1.25 = 2.4.
    assert "with N = 2, 1.7× less" in of_accuracy(panel(setting, Bootstrap(10)))
