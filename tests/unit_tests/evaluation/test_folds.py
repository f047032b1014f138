from __future__ import annotations

from collections import Counter

from langchain_tts.evaluation.folds import halves

IDS = [f"question {i}" for i in range(41)]
BINS = [1] * 10 + [2] * 11 + [3] * 13 + [4] * 7


def test_every_bin_is_halved() -> None:
    counts = Counter(zip(BINS, halves(IDS, BINS, 0), strict=True))
    for bin_, n in Counter(BINS).items():
        assert abs(counts[bin_, 0] - counts[bin_, 1]) == n % 2


def test_odd_bins_do_not_all_favor_the_same_half() -> None:
    assert Counter(halves(IDS, BINS, 0)) == {0: 21, 1: 20}


def test_the_lot_follows_the_seed_and_not_the_order() -> None:
    found = dict(zip(IDS, halves(IDS, [1] * 41, 0), strict=True))
    # One is over, and who has it depends on the lot alone.
    assert halves(IDS[::-1], [1] * 41, 0) == [found[name] for name in IDS[::-1]]
    assert any(halves(IDS, BINS, seed) != halves(IDS, BINS, 0) for seed in (1, 2))
