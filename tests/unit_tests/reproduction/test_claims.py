"""The claims, on runs small enough to be worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.repro_accuracy import accuracy
from benchmarks.repro_arms import BEAM, BEST_OF_N, find_arm
from benchmarks.repro_beam import (
    Cell,
    Judged,
    beam_search,
    falling,
    judged,
    over_optimization,
    where,
)
from benchmarks.repro_bins import oracle_bins
from benchmarks.repro_costs import question_tokens
from benchmarks.repro_equal import equal_cost, fixed_strategies, rivals
from benchmarks.repro_exchange import affordable, allowance, exchange
from benchmarks.repro_folds import two_fold
from benchmarks.repro_optimal import compute_optimal
from benchmarks.repro_prm import verifiers
from benchmarks.repro_revisions import chains, revisions, turns
from benchmarks.repro_runs import PAIRS, MissingRunError, Runs
from benchmarks.repro_small import small_against_large
from langchain_tts.evaluation.estimates import Difference
from langchain_tts.evaluation.records import SearchRecord
from tests.unit_tests.reproduction.written import Drawn, search, write_run

EASY = [f"e{i}" for i in range(10)]
HARD = [f"h{i}" for i in range(10)]
SIZES = [1, 4, 16, 64]


def _samples(one: str, strategy: str = BEST_OF_N) -> SearchRecord:
    """64 samples: easy ones are right, of hard ones none of the best scored is."""
    easy = one.startswith("e")
    drawn = [Drawn(right=easy, score=0.3) for _ in range(64)]
    # One hard sample is right, so that bins differ from a policy that knows nothing.
    drawn[-1] = Drawn(right=True, score=0.1)
    return search(one, strategy, drawn, sizes=SIZES, level=1 if easy else 2)


def _beam(one: str, n: int, *, right: bool) -> SearchRecord:
    level = 1 if one.startswith("e") else 2
    return search(one, BEAM, [Drawn(right=right, score=0.9)] * n, level=level)


def _strong(folder: Path) -> Runs:
    """Best-of-N knows the easy half, beam search the hard one."""
    ids = EASY + HARD
    records = [_samples(one) for one in ids]
    records += [
        search(one, "greedy", [Drawn(one in EASY)], sizes=SIZES, level=1) for one in ids
    ]
    records += [_beam(one, n, right=one in HARD) for n in SIZES for one in ids]
    write_run(folder, "test-strong", records)
    return Runs(folder)


def test_accuracy_says_which_strategy_is_the_best(tmp_path: Path) -> None:
    ids = EASY + HARD
    records = [_samples(one) for one in ids]
    records += [_beam(one, n, right=True) for n in SIZES for one in ids]
    write_run(tmp_path, "test-strong", records)
    text = accuracy(Runs(tmp_path))
    assert "n = 20 of all, 10 of level 1, 10 of level 2" in text
    assert f"| `{BEAM}` | 4 | 100.0 (100.0 to 100.0) |" in text
    assert f"At N = 16 `{BEAM}` is the most accurate: +50.0 (" in text
    assert "above best-of-N for 1 of the 1 others and below for 0" in text


def test_bins_follow_the_share_of_right_samples(tmp_path: Path) -> None:
    bins = oracle_bins(_strong(tmp_path))
    assert bins.groups == {1: EASY, 2: HARD}
    assert "test-strong" in bins.source


def test_bins_come_from_samples_of_their_own_where_there_are_any(
    tmp_path: Path,
) -> None:
    runs = _strong(tmp_path)
    turned = [
        search(one, "majority_vote", [Drawn(one in HARD)] * 64, sizes=[64])
        for one in EASY + HARD
    ]
    write_run(tmp_path, "test-oracle", turned)
    assert oracle_bins(runs).groups == {1: HARD, 2: EASY}


def test_beam_search_is_compared_with_best_of_n_in_each_bin(tmp_path: Path) -> None:
    text = beam_search(_strong(tmp_path))
    assert "| 4 | +0.0 (" in text
    assert "**-100.0 (-100.0 to -100.0)** | **+100.0 (+100.0 to +100.0)** |" in text
    assert "above best-of-N in 3 (bin 2 at N = 4, bin 2 at N = 16 and" in text
    assert "As in the paper, it loses on easy questions: in 3 of the 6 cells" in text


def test_what_is_said_of_the_bins_follows_from_the_intervals() -> None:
    sure, unsure = Difference(0.1, 0.01, 0.05, 0.2), Difference(0.1, 0.1, -0.1, 0.2)
    text = where([Cell("all", 4, sure), Cell("bin 1", 4, unsure)])
    assert "Of 1 cells beam search is above best-of-N in 0 (none)" in text
    assert "here no cell of them shows that" in text


@pytest.mark.parametrize(
    ("right", "said"),
    [
        ([1.0] * 8, "no change of accuracy is shown"),
        ([0.0] * 8, "it over-optimizes"),
    ],
)
def test_a_score_that_rises_while_accuracy_falls_is_over_optimization(
    right: list[float], said: str
) -> None:
    few = Judged("test-weak", BEST_OF_N, 4, [0.2] * 8, [1.0] * 8)
    many = Judged("test-weak", BEST_OF_N, 64, [0.9] * 8, right)
    [text] = over_optimization([few, many])
    assert text.startswith("Weak verifier")
    assert "score +70.0 (+70.0 to +70.0) points" in text
    assert said in text
    assert over_optimization([few]) == []


def test_bins_in_which_more_search_makes_fewer_right_are_named(tmp_path: Path) -> None:
    # Best-of-N stays as it is; beam search is right on easy questions below N = 16.
    ids = EASY + HARD
    records = [_samples(one) for one in ids]
    for n in SIZES:
        records += [_beam(one, n, right=one in EASY and n < 16) for one in ids]
    write_run(tmp_path, "test-strong", records)
    runs = Runs(tmp_path)
    said = falling(runs, PAIRS[0], oracle_bins(runs))
    assert said == (
        "From the smallest N to the largest accuracy falls for "
        f"`{BEAM}` in bin 1 (-100.0 (-100.0 to -100.0))."
    )


def test_the_verifier_s_view_of_the_chosen_answer_is_read_off(tmp_path: Path) -> None:
    found = judged(_strong(tmp_path), "test-strong", BEST_OF_N, 64)
    assert found.scores == [0.3] * 20
    assert sum(found.right) == 10


def test_two_folds_choose_per_bin_on_the_other_half(tmp_path: Path) -> None:
    runs = _strong(tmp_path)
    chosen = two_fold(runs, "test-strong", 16, oracle_bins(runs))
    assert chosen.by_bin.marks(EASY + HARD) == [1.0] * 20
    assert sum(chosen.fixed.marks(EASY + HARD)) == 10
    assert BEAM in " ".join(chosen.names[2])
    assert BEST_OF_N in " ".join(chosen.names[1])
    # What was chosen is what is paid for.
    beam = find_arm(runs, "test-strong", BEAM, 16)
    assert chosen.by_bin.prm_flops(HARD) == beam.prm_flops(HARD)


def test_the_choice_is_compared_with_best_of_n_and_the_best_strategy(
    tmp_path: Path,
) -> None:
    text = compute_optimal(_strong(tmp_path))
    assert "| offline, oracle bins | 16 | 100.0 (100.0 to 100.0) | 50.0 (" in text
    assert "> 4.0x (4.0 to not reached)" in text


def test_the_online_strategy_is_reported_where_it_was_run(tmp_path: Path) -> None:
    runs = _strong(tmp_path)
    online = [
        search(one, "compute_optimal", [Drawn(right=True)] * 4) for one in EASY + HARD
    ]
    write_run(tmp_path, "test-optimal", online)
    text = compute_optimal(runs)
    assert "| online, charged, calibrated on other questions | 4 | 100.0 (" in text
    assert "Online, charged, calibrated on other questions, N = 4: +50.0 (" in text
    assert "other questions, N = 16" not in text


def test_a_fixed_strategy_is_compared_where_it_costs_as_much(tmp_path: Path) -> None:
    ids = EASY + HARD
    records = [_beam(one, n, right=n > 4) for n in (4, 16) for one in ids]
    write_run(tmp_path, "test-strong", records)
    runs = Runs(tmp_path)
    fixed = fixed_strategies(runs, PAIRS[0])

    def at(spent: float) -> tuple[int, float]:
        (rival,) = rivals(fixed, spent)
        return rival.arm.n, rival.flops

    # A question of 3 tokens at least, which both models read, and 10 for each sample.
    question = question_tokens(EASY[0])
    few = 2 * 100 * (question + 40) + 2 * 50 * (question + 40)
    many = 2 * 100 * (question + 160) + 2 * 50 * (question + 160)
    assert at(few) == (4, few)
    # 95 % count as the same.
    assert at(1.05 * few) == (4, few)
    assert at(1.06 * few) == (16, many)
    # Nothing costs enough: the most that there is.
    assert at(2 * many) == (16, many)


def test_at_equal_cost_it_is_told_which_strategies_are_beaten(tmp_path: Path) -> None:
    ids = EASY + HARD
    records = [_beam(one, 16, right=one in HARD) for one in ids]
    write_run(tmp_path, "test-strong", records)
    online = [search(one, "compute_optimal", [Drawn(right=True)] * 4) for one in ids]
    write_run(tmp_path, "test-optimal", online)
    lines, said = equal_cost(Runs(tmp_path), PAIRS[0])
    assert f"| `{BEAM}` | 16 | 16 | " in lines
    assert "N = 4: intervals are above 1 of the 1 fixed strategies" in said
    assert f"the best of them, `{BEAM}`, +50.0 (" in said


def _large(folder: Path, *, right: bool) -> None:
    records = [search(one, "greedy", [Drawn(right)], sizes=[1]) for one in EASY + HARD]
    write_run(
        folder, "test-large", records, policy="tinymath-large", policy_parameters=1000
    )


def test_a_small_policy_is_compared_with_the_large_one_s_greedy(
    tmp_path: Path,
) -> None:
    runs = _strong(tmp_path)
    _large(tmp_path, right=False)
    text = small_against_large(runs)
    assert f"with `{BEAM}` at N = 64 is above the greedy answer" in text
    assert "It is above from N = 4, for" in text
    # 6 P D, D of the shipped models: 6e6 tokens for the large one, 16e6 for the other.
    assert "| `tinymath-large` | 1,000 |" in text
    assert f"{6 * 100 * 16e6 / (6 * 1000 * 6e6):.1f}x" in text


def test_verifiers_are_compared_on_the_same_questions(tmp_path: Path) -> None:
    runs = _strong(tmp_path)
    ids = EASY + HARD
    weak = [_samples(one) for one in ids]
    weak += [_beam(one, n, right=False) for n in SIZES for one in ids]
    write_run(tmp_path, "test-weak", weak)
    text = verifiers(runs)
    assert "| strategy | N | weak verifier | - best-of-N | strong verifier |" in text
    assert f"| `{BEAM}` | 16 | 0.0 (0.0 to 0.0) | -50.0 (" in text
    # Beam search is never right with the weak one: its hard bin chooses best-of-N.
    assert "Weak and strong: 3 of 6 cells have no choice in common." in text


def test_one_verifier_alone_is_no_comparison(tmp_path: Path) -> None:
    with pytest.raises(MissingRunError, match="make two"):
        verifiers(_strong(tmp_path))


def test_chains_are_read_from_the_record_or_from_the_order() -> None:
    marks = [True, False, False, True]
    named = search(
        "q", "revision", [Drawn(m, chain=i // 2) for i, m in enumerate(marks)]
    )
    assert chains(named, 2) == [[True, False], [False, True]]
    # Rounds of two chains: answers 0 and 2 are of the first chain.
    unnamed = search("q", "revision", [Drawn(mark) for mark in marks])
    assert chains(unnamed, 2) == [[True, False], [False, True]]


def test_a_third_of_the_right_answers_are_made_wrong() -> None:
    # right to right twice, right to wrong once; wrong to right once, wrong to wrong 0.
    question = [[True, True, True], [True, False, True]]
    found = turns([question] * 4)
    assert found.lost == "33.3 (33.3 to 33.3)"
    assert found.won == "100.0 (100.0 to 100.0)"


def test_the_best_ratio_is_told_for_each_bin(tmp_path: Path) -> None:
    ids = EASY + HARD
    records = [
        search(one, BEST_OF_N, [Drawn(one in EASY)] * 16, sizes=[4, 16]) for one in ids
    ]
    for ratio in (0.0625, 16.0):
        for n in (4, 16):
            records += [
                search(
                    one,
                    f"revision?sequential_to_parallel={ratio}",
                    [Drawn(ratio > 1, chain=0)] * n,
                )
                for one in ids
            ]
    write_run(tmp_path, "test-reviser", records, policy="tinymath-reviser")
    sampled = [
        search(o, "majority_vote", [Drawn(o in EASY)] * 64, sizes=[64]) for o in ids
    ]
    write_run(tmp_path, "test-oracle", sampled)
    text = revisions(Runs(tmp_path))
    assert "1 chain(s) of 16 answers a question, n = 20." in text
    assert "makes 0.0 (0.0 to 0.0) % wrong (paper: about 38 %)" in text
    assert "N = 16, bin 2: ratio 16 is the most accurate, by +100.0 (" in text
    assert "N = 4, bin 1: independent samples are the most accurate." in text


def test_the_verifier_s_share_is_taken_from_the_same_sum() -> None:
    assert allowance(14, 22, 0.0) == pytest.approx(15.772727272727273)
    # (7 + 3 * 6) answers that the verifier reads: twice the policy's FLOPs each.
    assert allowance(14, 1, 1.0) == 50


def test_the_largest_n_that_can_be_afforded_is_taken(tmp_path: Path) -> None:
    runs = _strong(tmp_path)
    ids = EASY + HARD
    arms = [find_arm(runs, "test-strong", BEAM, n) for n in (1, 4, 16)]
    costs = [arm.policy_flops(ids) + arm.prm_flops(ids) for arm in arms]
    found = affordable(arms, costs[1], ids)
    assert found is not None
    assert found.n == 4
    assert affordable(arms, costs[0] - 1, ids) is None


def test_who_wins_at_equal_flops_is_told_for_each_bin(tmp_path: Path) -> None:
    runs = _strong(tmp_path)
    _large(tmp_path, right=False)
    text = exchange(runs)
    # M = 10: 10 + 18.75 * 9 greedy answers.
    assert "M = 10.0." in text
    assert "| 0.16 | no | 178.8 | beam_search, N = 64 (no larger one was run) |" in text
    assert (
        "R = 0.16 without the verifier's FLOPs: search wins on bin 2, the larger model "
        "on none."
    ) in text
