"""What a page shows of all settings together: sizes, costs, predicted difficulty."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_tts.evaluation.page import findings
from langchain_tts.evaluation.page.costs import Cost, largest
from langchain_tts.evaluation.page.draw_claims import sizes_figure
from langchain_tts.evaluation.page.draw_tables import predicted_figure
from langchain_tts.evaluation.page.exhibits import Exhibit, Table
from langchain_tts.evaluation.page.names import title
from langchain_tts.evaluation.page.predicted import Predicted
from langchain_tts.evaluation.page.sizes import Sizes
from langchain_tts.evaluation.page.study import Setting
from langchain_tts.evaluation.page.words import NONE, cell, number, scientific
from langchain_tts.search.calibration import Predictor

_COST_HEAD = [
    "strategy",
    "N",
    "samples",
    "tokens",
    "policy FLOPs",
    "PRM FLOPs",
    "PRM share",
    "computed",
    "seconds",
]

_COST_CAPTION = (
    "Means a question, at each strategy's largest N. FLOPs as in the papers: twice the "
    "parameters for each generated token, of the policy, and of the verifier (PRM) "
    "that reads it. Computed are the FLOPs that the engines did: prompts count there, "
    "and what a cache knew already, also from other searches of the sweep, does not. "
    "Seconds are those of searches that ran side by side."
)

_PREDICTORS: dict[Predictor, str] = {
    "score": "the mean score",
    "vote_share": "the vote share",
    "both": "the mean score and the vote share",
}


def sizes_exhibit(found: Sizes, questions: int) -> Exhibit:
    """Small policies with search against large ones without."""
    rows = [
        [
            f"{one.policy}, greedy",
            "1",
            cell(one.mark.point),
            scientific(one.mark.policy_flops),
            scientific(one.mark.flops),
        ]
        for one in found.greedy
    ]
    rows += [
        [
            f"{one.policy}, {one.title}" + (f", PRM {one.prm}" if one.prm else ""),
            str(mark.budget),
            cell(mark.point),
            scientific(mark.policy_flops),
            scientific(mark.flops),
        ]
        for one in found.searched
        for mark in one.marks
    ]
    return Exhibit(
        key="sizes",
        heading="Small policy with search against large policy",
        finding=findings.of_sizes(found),
        caption=(
            f"Accuracy against FLOPs a question, n = {questions} questions. Filled "
            "marks count policy and verifier, hollow ones the policy alone; a line "
            "joins the two. Dashed levels: each policy's greedy answer, its mark at "
            "the FLOPs of that. In the table: 95 % confidence intervals by bootstrap "
            "over questions."
        ),
        draw=lambda wide: sizes_figure(found, wide=wide),
        head=["policy and strategy", "N", "accuracy, %", "policy FLOPs", "with PRM"],
        rows=rows,
    )


def predicted_exhibit(found: Predicted) -> Exhibit:
    """Predicted difficulty against the oracle."""
    columns = range(1, len(found.counts[0]) + 1)
    return Exhibit(
        key="difficulty",
        heading="Predicted difficulty",
        finding=findings.of_predicted(found),
        caption=(
            f"Questions by predicted bin (row) and oracle bin (column), n = "
            f"{found.questions}. The prediction is by "
            f"{_PREDICTORS[found.predictor]} of the first {found.samples} "
            "samples, without labels, cut where the calibration says; the oracle is "
            "pass@1 of all samples in five quantile bins. Bold: the same bin."
        ),
        draw=lambda wide: predicted_figure(found, wide=wide),
        head=["predicted bin", *(f"oracle {column}" for column in columns)],
        rows=[
            [str(place), *map(str, row)] for place, row in enumerate(found.counts, 1)
        ],
    )


def cost_table(settings: Sequence[Setting]) -> Table:
    """What answers cost, of all settings."""
    costs = [(setting, cost) for setting in settings for cost in largest(setting)]
    several = len(settings) > 1
    return Table(
        heading="Cost of an answer",
        finding=findings.of_costs([cost for _, cost in costs]),
        caption=_COST_CAPTION,
        head=[*(["policy"] if several else []), *_COST_HEAD],
        rows=[
            [*([_models(setting)] if several else []), *_cost_row(cost)]
            for setting, cost in costs
        ],
    )


def _models(setting: Setting) -> str:
    manifest = setting.manifest
    return manifest["policy"] + (f" + {manifest['prm']}" if manifest["prm"] else "")


def _cost_row(cost: Cost) -> list[str]:
    return [
        title(cost.strategy),
        str(cost.budget),
        number(cost.samples, 1),
        number(cost.tokens),
        scientific(cost.policy),
        scientific(cost.prm),
        NONE if cost.share is None else f"{100 * cost.share:.0f} %",
        scientific(cost.computed),
        number(cost.seconds, 2),
    ]


def losses(setting: Setting) -> list[str]:
    """What failed, and what searches had to give up."""
    found = []
    for arms in setting.arms.values():
        # Budgets that are nested in one another are one search.
        arm = arms[max(arms)]
        if arm.failed:
            found.append(
                f"{title(arm.strategy)}, N = {arm.budget}: {arm.failed} searches "
                "failed and count as wrong."
            )
        found += [
            f"{title(arm.strategy)}, N = {arm.budget}: {count} searches: {note}"
            for note, count in sorted(arm.degradations.items())
        ]
    return found
