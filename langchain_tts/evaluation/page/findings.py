"""What each figure shows, as one or two sentences with the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from langchain_tts.evaluation.page.bins import Bins
from langchain_tts.evaluation.page.comparison import BASELINE, ONLINE, Comparison
from langchain_tts.evaluation.page.costs import Cost
from langchain_tts.evaluation.page.curves import Curve, Panel, families, shown
from langchain_tts.evaluation.page.draw_curves import REFERENCES
from langchain_tts.evaluation.page.efficiency import compute_at
from langchain_tts.evaluation.page.names import title, usual, way_name
from langchain_tts.evaluation.page.predicted import Predicted
from langchain_tts.evaluation.page.resampling import Bootstrap, Estimate
from langchain_tts.evaluation.page.sizes import Sizes
from langchain_tts.evaluation.page.study import Setting
from langchain_tts.evaluation.page.tables import Bars, Votes
from langchain_tts.evaluation.page.words import listed, percent, points


def of_accuracy(panel: Panel) -> str:
    """Who is best at the largest N, and with how much less it matches best-of-N."""
    ranked = [curve for curve in panel.curves if curve.key not in REFERENCES]
    most = max((curve.budgets[-1] for curve in ranked), default=0)
    ends = [curve for curve in ranked if curve.budgets[-1] == most]
    if not ends:
        return "Only reference strategies were run."
    best = max(ends, key=lambda curve: curve.points[-1].value)
    text = f"At N = {most:g} {best.title} is right on {percent(best.points[-1])}"
    others = [c for c in panel.curves if c.key in (BASELINE, "majority_vote")]
    compared = [
        f"{curve.title} on {percent(curve.points[-1])}"
        for curve in others
        if curve is not best and curve.budgets[-1] == most
    ]
    text += f", {listed(compared)}. " if compared else ". "
    base = next((curve for curve in ranked if curve.key == BASELINE), None)
    return (text + _matched(best, base)).strip()


def _matched(best: Curve, base: Curve | None) -> str:
    if base is None or base is best:
        return ""
    at = compute_at(
        base.points[-1].value, best.budgets, [point.value for point in best.points]
    )
    if at is None or at >= base.budgets[-1]:
        return ""
    least = "at most " if at == best.budgets[0] else ""
    return (
        f"It matches {base.title} at N = {base.budgets[-1]:g} with {least}"
        f"N = {at:.0f}, {base.budgets[-1] / at:.1f}× less."
    )


def of_bins(setting: Setting, bins: Bins, bootstrap: Bootstrap) -> str:
    """Where beam search is better than best-of-N, and where it is worse."""
    variants = families(setting)
    if not {BASELINE, "beam_search"} <= variants.keys():
        return "Beam search or best-of-N was not run, so they are not compared."
    ours = setting.arms[usual(variants["beam_search"])]
    theirs = setting.arms[usual(variants[BASELINE])]
    both = sorted(ours.keys() & theirs.keys())
    if not both:
        return "Beam search and best-of-N were run at no common N."
    budget = both[-1]
    better, worse = [], []
    for name, mask in bins.masks():
        gap = bootstrap.estimate(shown(ours[budget]) - shown(theirs[budget]), mask)
        if gap.low > 0:
            better.append(name)
        if gap.high < 0:
            worse.append(name)
    if not better and not worse:
        return (
            f"At N = {budget} beam search and best-of-N cannot be told apart in any "
            "group: each 95 % interval of the difference includes 0."
        )
    said = [
        f"is better than best-of-N on {listed(better)}" if better else "",
        f"is worse {'' if better else 'than best-of-N '}on {listed(worse)}"
        if worse
        else "",
    ]
    return (
        f"At N = {budget} beam search {' and '.join(filter(None, said))}; elsewhere "
        "the 95 % interval of the difference includes 0."
    )


def of_variants(panels: Sequence[Panel]) -> str:
    """The strategy on which its parameter has the largest effect at its largest N."""
    spans = []
    for panel in panels:
        common = set.intersection(*(set(curve.budgets) for curve in panel.curves))
        if not common:
            continue
        most = max(common)
        ends = sorted(
            ((c.points[c.budgets.index(most)], c.title) for c in panel.curves),
            key=lambda end: end[0].value,
        )
        spans.append((ends[-1][0].value - ends[0][0].value, most, ends[0], ends[-1]))
    if not spans:
        return "The variants were run at no common N."
    gap, most, least, best = max(spans, key=lambda span: span[0])
    return (
        f"The parameter matters most for {best[1].partition(' (')[0]}, by "
        f"{100 * gap:.1f} points at N = {most:g}: {best[1]} is right on "
        f"{percent(best[0])}, {least[1]} on {percent(least[0])}."
    )


def of_comparison(found: Comparison) -> str:
    """The factors of the first line, and whether bins beat one choice for all."""
    line, told = found.lines[0], found.by_budget[0]
    name = line.title if line.key == ONLINE else f"the strategy {line.title}"
    said = [
        f"N = {factor.compute:g} is as right as best-of-N with N = "
        f"{factor.reached:.0f} ({factor.text()} less)"
        if factor.reached is not None
        else f"N = {factor.compute:g} is more right than best-of-N is at any N that "
        f"was run ({factor.text()} less)"
        for factor in told
    ]
    if said:
        text = f"With {name}, {listed(said)}"
    else:
        text = f"No point of {name} can be compared with best-of-N"
    if found.fixed is None:
        return text + "."
    budget = min(line.budgets[-1], found.fixed.budgets[-1])
    bins, fixed = (
        100 * one.points[one.budgets.index(budget)].value for one in (line, found.fixed)
    )
    return (
        f"{text}. At N = {budget:g} it gets {bins:.1f} %, one choice for all questions "
        f"{fixed:.1f} %."
    )


def of_sizes(found: Sizes) -> str:
    """The cheapest search that matches the largest policy, with both FLOPs."""
    top = found.greedy[0]
    if found.match is None or found.gap is None:
        best = max(
            ((one, mark) for one in found.searched for mark in one.marks),
            key=lambda pair: pair[1].point.value,
        )
        return (
            f"No search reaches {top.policy}'s greedy {percent(top.mark.point)}; the "
            f"nearest is {best[0].title} with {best[0].policy} at N = "
            f"{best[1].budget}: {percent(best[1].point)}."
        )
    one, mark = found.match
    whole = mark.flops / top.mark.policy_flops
    bare = mark.policy_flops / top.mark.policy_flops
    return (
        f"{one.policy} with {one.title} at N = {mark.budget} is right on "
        f"{percent(mark.point)}, {top.policy} answering greedily on "
        f"{percent(top.mark.point)}: {points(found.gap)}, at {whole:.2g}× its FLOPs "
        f"with the verifier and {bare:.2g}× without."
    )


def of_bars(bars: Bars) -> str:
    """The best ratio over all and in each bin."""
    over_all = bars.by_budget[bars.budget]
    best = _best_ratio(over_all)
    text = (
        f"At N = {bars.budget} the best ratio over all is {best}: "
        f"{percent(over_all[best])}"
    )
    parts = [
        f"{_best_ratio(of)} on {name}" for name, (_, of) in bars.by_bin.items() if of
    ]
    return text + (f"; by difficulty {listed(parts)}." if parts else ".")


def _best_ratio(accuracies: Mapping[str, Estimate]) -> str:
    return max(accuracies, key=lambda ratio: accuracies[ratio].value)


def of_votes(votes: Votes) -> str:
    """The best combination, and what the way of choosing makes of it."""
    cells = [
        (value.value, strategy, budget, way)
        for strategy, budget, of in votes.rows
        for way, value in zip(votes.ways, of, strict=True)
        if value is not None
    ]
    best = max(cells, key=lambda one: one[0])
    same = [one[0] for one in cells if one[1] == best[1]]
    return (
        f"{way_name(*best[3])} is best: {100 * best[0]:.1f} % with {title(best[1])} at "
        f"N = {best[2]}, whose other ways of choosing get {100 * min(same):.1f} % to "
        f"{100 * sorted(same)[-2]:.1f} %."
        if len(same) > 1
        else f"{way_name(*best[3])} is best: {100 * best[0]:.1f} %."
    )


def of_costs(costs: Sequence[Cost]) -> str:
    """What the verifier's share is where it is asked."""
    shares = [cost.share for cost in costs if cost.share]
    if not shares:
        return "No strategy asked a verifier, or the models' sizes are not known."
    return (
        f"Where the verifier is asked, it takes {100 * min(shares):.0f} %"
        + (
            f" to {100 * max(shares):.0f} %"
            if max(shares) - min(shares) > 0.005  # noqa: PLR2004 (what is rounded away)
            else ""
        )
        + " of all FLOPs."
    )


def of_predicted(found: Predicted) -> str:
    """How well the order of questions is predicted."""
    seen = " It was made on these very questions." if found.seen else ""
    return (
        f"Prediction and oracle have a rank correlation of {found.correlation:.2f}; "
        f"{100 * found.same:.0f} % of questions are in the same bin by both.{seen}"
    )
