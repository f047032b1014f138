"""The commands that measure what is on a page, and what is not."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from langchain_tts.evaluation.store import Manifest


def eval_command(
    manifest: Manifest,
    *,
    strategies: Sequence[str] | None = None,
    policy: str | None = None,
) -> str:
    """The command of a run.

    Args:
        manifest: What the run is of.
        strategies: Others than the run's.
        policy: Another one than the run's.
    """
    name, _, split = manifest["dataset"].partition("/")
    tiny = name == "tinymath" and split
    words = [
        "langchain-tts",
        "eval",
        "--dataset",
        name if tiny else manifest["dataset"],
    ]
    words += ["--split", split] if tiny else []
    words += ["--limit", str(manifest["questions"])]
    words += ["--policy", policy or manifest["policy"]]
    words += ["--prm", manifest["prm"] or "none"]
    for key, value in manifest["parameters"].items():
        words += ["--set", f"{key}={value}"] if key != "budget" else []
    words += ["--strategies", ",".join(strategies or manifest["strategies"])]
    words += ["--budgets", ",".join(map(str, manifest["budgets"]))]
    words += ["--seeds", ",".join(map(str, manifest["seeds"]))]
    return shlex.join([*words, "--out", "RUN"])
