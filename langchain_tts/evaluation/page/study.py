"""Runs as arrays: who was right, and what it cost, question by question."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from langchain_tts.evaluation.costs import costs_at
from langchain_tts.evaluation.page.errors import PageError
from langchain_tts.evaluation.page.names import chosen_way, split_label
from langchain_tts.evaluation.records import Key, SearchRecord, key_of
from langchain_tts.evaluation.store import Manifest, Run
from langchain_tts.search.state import Score, Vote

Floats: TypeAlias = NDArray[np.float64]
"""A number for each question, in the order of `Setting.ids`."""

Way: TypeAlias = tuple[Score | None, Vote]
"""How an answer is chosen: score and vote."""


@dataclass(frozen=True)
class Arm:
    """A strategy at one budget.

    Args:
        strategy: With its parameters.
        budget: N; 1 for a search of one sample.
        right: By way of answering the share of seeds that were right, by question.
        shown: The way that the searches answered by.
        samples: Taken, by question.
        tokens: Generated, by question.
        judged: Whether the verifier was asked.
        whole: Whether the searches were at this N, not at a larger one.
        flops: What the engines computed for both models, caches counted, by question;
            of the larger searches where these were not at this N.
        seconds: Of the searches, by question.
        failed: Searches that gave no result; they count as wrong.
        degradations: What searches had to give up, with how often.
    """

    strategy: str
    budget: int
    right: dict[Way, Floats]
    shown: Way
    samples: Floats
    tokens: Floats
    judged: bool
    whole: bool
    flops: Floats
    seconds: Floats
    failed: int
    degradations: dict[str, int]


@dataclass(frozen=True)
class Samples:
    """Independent samples of each question, as many of each.

    Args:
        strategy: Whose samples they are.
        count: How many, by question.
        right: How many of them are right.
        records: The searches that took them, in any order.
    """

    strategy: str
    count: Floats
    right: Floats
    records: list[SearchRecord]

    @property
    def pass_at_1(self) -> Floats:
        """The share of samples that are right."""
        return self.right / self.count


@dataclass(frozen=True)
class Setting:
    """What was measured with one policy, verifier and set of parameters.

    Args:
        manifest: Of the first of its runs.
        ids: Of the questions, sorted.
        levels: Of the data set, by question; None if it has none.
        seeds: Of the sweeps.
        arms: By strategy and budget, in the order in which they were run.
        samples: The most that were taken; None if no strategy takes independent ones.
        unfinished: Searches (strategy and N) that are not yet done on all questions.
    """

    manifest: Manifest
    ids: list[str]
    levels: NDArray[np.int64] | None
    seeds: list[int]
    arms: dict[str, dict[int, Arm]]
    samples: Samples | None
    unfinished: list[str]


def settings(runs: Sequence[Run]) -> list[Setting]:
    """Put runs of the same policy, verifier and parameters together.

    Raises:
        PageError: If the runs are of different questions, or if nothing in them is
            finished.
    """
    first = runs[0].manifest
    for run in runs[1:]:
        if run.manifest["fingerprint"] != first["fingerprint"]:
            msg = (
                f"the runs are of different questions: {_questions(first)} and "
                f"{_questions(run.manifest)}; give runs of the same questions"
            )
            raise PageError(msg)
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        groups[_identity(run.manifest)].append(run)
    found = [_setting(group) for group in groups.values()]
    finished = [setting for setting in found if setting.arms]
    if not finished:
        msg = (
            f"the run of {_questions(first)} has no strategy that is finished on all "
            f"{first['questions']} questions; go on with `eval`"
        )
        raise PageError(msg)
    return finished


def _questions(manifest: Manifest) -> str:
    return f"{manifest['dataset']} ({manifest['fingerprint']})"


def _identity(manifest: Manifest) -> str:
    of = manifest["policy"], manifest["prm"], manifest["parameters"]
    return json.dumps(of, sort_keys=True)


def _setting(runs: Sequence[Run]) -> Setting:
    manifest = runs[0].manifest
    records: dict[Key, SearchRecord] = {}
    for run in runs:
        records |= {key_of(record): record for record in run.records}
    seeds = sorted({record["seed"] for record in records.values()})
    ids = sorted({record["id"] for record in records.values()})
    whole = len(ids) == manifest["questions"]

    searches: dict[tuple[str, int], list[SearchRecord]] = defaultdict(list)
    for record in records.values():
        searches[record["strategy"], record["budget"]].append(record)
    done: dict[tuple[str, int], list[SearchRecord]] = {}
    unfinished: list[tuple[str, int]] = []
    for (strategy, budget), found in searches.items():
        runs_of = {record["seed"] for record in found}
        if whole and len(found) == len(ids) * len(runs_of):
            done[strategy, budget] = found
        else:
            unfinished.append((strategy, budget))

    place = {name: index for index, name in enumerate(ids)}
    arms: dict[str, dict[int, Arm]] = defaultdict(dict)
    for (strategy, _), found in done.items():
        for arm in _arms(found, place, manifest["parameters"]):
            arms[strategy].setdefault(arm.budget, arm)
    unfinished += _not_begun(runs, arms, {strategy for strategy, _ in unfinished})
    return Setting(
        manifest=manifest,
        ids=ids,
        levels=_levels(records.values(), place),
        seeds=seeds,
        arms={name: dict(sorted(of.items())) for name, of in arms.items()},
        samples=_samples(done.values(), place),
        unfinished=[f"{strategy} at N = {budget}" for strategy, budget in unfinished],
    )


def _not_begun(
    runs: Sequence[Run], arms: Mapping[str, Mapping[int, Arm]], known: set[str]
) -> list[tuple[str, int]]:
    """What runs are to search and have not; `known` strategies are told already.

    Of strategies that take one sample whatever N is, the one search is all there is.
    """
    planned = dict.fromkeys(
        (strategy, budget)
        for run in runs
        for strategy in run.manifest["strategies"]
        for budget in run.manifest["budgets"]
    )
    return [
        (strategy, budget)
        for strategy, budget in planned
        if strategy not in known
        and split_label(strategy)[0] != "greedy"
        and budget not in arms.get(strategy, {})
    ]


def _levels(
    records: Iterable[SearchRecord], place: Mapping[str, int]
) -> NDArray[np.int64] | None:
    known = {record["id"]: record["level"] for record in records}
    if any(level is None for level in known.values()):
        return None
    return np.array([known[name] for name in place], dtype=np.int64)


def _arms(
    records: Sequence[SearchRecord],
    place: Mapping[str, int],
    parameters: Mapping[str, Any],
) -> list[Arm]:
    """The arms of a search: one for each budget that is nested in it."""
    n, strategy = len(place), records[0]["strategy"]
    share = n / len(records)
    right: dict[int, dict[Way, Floats]] = defaultdict(
        lambda: defaultdict(lambda: np.zeros(n))
    )
    samples: dict[int, Floats] = defaultdict(lambda: np.zeros(n))
    tokens: dict[int, Floats] = defaultdict(lambda: np.zeros(n))
    flops, seconds = np.zeros(n), np.zeros(n)
    degradations: dict[str, int] = defaultdict(int)
    sizes = {answer["budget"] for one in records for answer in one["answers"]}
    for record in records:
        at = place[record["id"]]
        for answer in record["answers"]:
            way = answer["score"], answer["vote"]
            right[answer["budget"]][way][at] += answer["right"] * share
        for size in sizes:
            cost = costs_at(record, size)
            samples[size][at] += cost["samples"] * share
            tokens[size][at] += cost["generated_tokens"] * share
        spent = record["spent"]
        flops[at] += share * (spent.get("policy_flops", 0) + spent.get("prm_flops", 0))
        seconds[at] += share * record["seconds"]
        for note in record["degradations"]:
            degradations[note] += 1
    most = max((record["samples"] or 0 for record in records), default=0)
    return [
        Arm(
            strategy=strategy,
            budget=min(size, most) if most else size,
            right=dict(right[size]),
            shown=chosen_way(strategy, parameters, list(right[size])),
            samples=samples[size],
            tokens=tokens[size],
            judged=any(record["spent"].get("prm_calls", 0) for record in records),
            whole=not most or size >= most,
            flops=flops,
            seconds=seconds,
            failed=sum(record["error"] is not None for record in records),
            degradations=dict(degradations),
        )
        for size in sorted(sizes)
    ]


def _samples(
    searches: Iterable[Sequence[SearchRecord]], place: Mapping[str, int]
) -> Samples | None:
    best: Samples | None = None
    for records in searches:
        count, right = np.zeros(len(place)), np.zeros(len(place))
        for record in records:
            count[place[record["id"]]] += record["samples"] or 0
            right[place[record["id"]]] += sum(f["right"] for f in record["finals"])
        # One sample a question tells no chance of success, and is often the greedy one.
        if count.min() > 1 and (best is None or count.min() >= best.count.min()):
            best = Samples(records[0]["strategy"], count, right, list(records))
    return best
