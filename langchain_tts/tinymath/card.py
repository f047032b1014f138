"""Write measured figures into the documents: `python -m langchain_tts.tinymath.card`.

Reads what `python -m langchain_tts.tinymath.gates --out FILE` measured and fills the
marked parts of the given Markdown files: `<!-- tinymath-figures: begin -->` (all) or
`<!-- tinymath-accuracy: begin -->` (one table). Also writes the weights' checksums.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_tts.tinymath import WEIGHTS
from langchain_tts.tinymath.gates import Gate, find

if TYPE_CHECKING:
    from collections.abc import Sequence

from langchain_tts._markdown import DocumentError, table
from langchain_tts._markdown import fill as fill_part
from langchain_tts.evaluation.rows import Row

CHECKSUMS = WEIGHTS / "SHA256SUMS"

_ROWS = (
    ("tinymath-small", "greedy", 1, None),
    ("tinymath", "greedy", 1, None),
    ("tinymath", "majority_vote", 16, None),
    ("tinymath", "majority_vote", 64, None),
    ("tinymath", "best_of_n", 4, "max"),
    ("tinymath", "best_of_n", 16, "max"),
    ("tinymath", "best_of_n", 64, "max"),
    ("tinymath", "best_of_n", 64, "vote"),
    ("tinymath", "beam_search", 16, "max"),
    ("tinymath", "beam_search", 64, "max"),
    ("tinymath", "beam_search", 64, "vote"),
    ("tinymath", "dvts", 16, "max"),
    ("tinymath", "dvts", 64, "max"),
    ("tinymath", "dvts", 64, "vote"),
    ("tinymath-large", "greedy", 1, None),
)
"""Policy, strategy, N and vote (over the last step's score; None: no score)."""


def parts(measured: dict[str, Any]) -> dict[str, str]:
    """The measured tables in Markdown, by the name of the part that they fill."""
    accuracy = _accuracy(measured)
    tables = [
        _models(),
        accuracy,
        _verifiers(measured),
        _revision(measured),
        _gates(measured),
    ]
    return {"figures": "\n\n".join(tables), "accuracy": accuracy}


def _models() -> str:
    head = ["model", "parameters", "training tokens", "minutes"]
    rows = []
    for path in sorted(WEIGHTS.glob("*/training.json")):
        record = json.loads(path.read_text())
        rows.append(
            [
                f"`{record['model']}`",
                f"{record['parameters']:,}",
                f"{record['tokens'] / 1e6:.0f} M",
                f"{record['minutes']:.0f}",
            ]
        )
    note = "Minutes on one CPU core, other work beside it."
    return f"{table(head, rows)}\n\n{note}"


def _accuracy(measured: dict[str, Any]) -> str:
    head = ["policy", "strategy", "N", "accuracy, %", *"12345", "MFLOP a question"]
    rows = []
    for policy, strategy, budget, vote in _ROWS:
        how = (None, "majority") if vote is None else ("last", vote)
        row = find(measured["rows"][policy], strategy, budget, *how)
        rule = "" if vote is None else f" (last-{vote})"
        levels = [
            f"{100 * level['accuracy']:.0f}" for level in row["by_level"].values()
        ]
        rows.append(
            [
                policy,
                f"{strategy}{rule}",
                str(budget),
                _with_error(row["accuracy"], row["stderr"]),
                *levels,
                _cost(row),
            ]
        )
    count = measured["rows"]["tinymath"][0]["n"]
    note = (
        f"{count} problems of the test split, ± one standard error; 1 to 5 are the "
        "levels. FLOPs: policy + verifier, 2 x parameters x computed tokens."
    )
    return f"{table(head, rows)}\n\n{note}"


def _cost(row: Row) -> str:
    if row["policy_flops"] is None or row["prm_flops"] is None:
        return "–"
    policy, prm = row["policy_flops"] / 1e6, row["prm_flops"] / 1e6
    return f"{policy:.0f}" if not prm else f"{policy:.0f} + {prm:.0f}"


def _verifiers(measured: dict[str, Any]) -> str:
    rows = [
        [f"`{name}`", f"{value:.3f} ± {error:.3f}"]
        for name, (value, error) in measured["auc"].items()
    ]
    return table(["verifier", "within-problem AUC"], rows)


def _revision(measured: dict[str, Any]) -> str:
    turns = measured["revision"]
    head = ["reviser", "first answer", *(f"revision {i}" for i in range(1, len(turns)))]
    cells = [_with_error(turn["accuracy"], turn["stderr"]) for turn in turns]
    return table(head, [["accuracy, %", *cells]])


def _gates(measured: dict[str, Any]) -> str:
    rows = [
        [
            gate.name,
            gate.claim,
            f"{gate.value:.3f} ± {gate.stderr:.3f}",
            f"{gate.bound:g}",
            "passed" if gate.passed else "**failed**",
        ]
        for gate in (Gate(**record) for record in measured["gates"])
    ]
    return table(["gate", "what must hold", "measured", "at least", ""], rows)


def _with_error(value: float, error: float) -> str:
    return f"{100 * value:.1f} ± {100 * error:.1f}"


def fill(document: Path, texts: dict[str, str]) -> None:
    """Replace the marked parts of a document.

    Raises:
        DocumentError: If the document has no marked part.
    """
    content = document.read_text()
    marked = [name for name in texts if f"<!-- tinymath-{name}: begin -->" in content]
    if not marked:
        msg = f"{document} has no part between <!-- tinymath-...: begin --> and end"
        raise DocumentError(msg)
    for name in marked:
        content = fill_part(content, f"tinymath-{name}", texts[name])
    document.write_text(content)


def checksums() -> str:
    """SHA-256 of every file of weights, as `sha256sum -c` reads it."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(WEIGHTS)}"
        for path in sorted(WEIGHTS.glob("*/*.safetensors"))
    ]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m langchain_tts.tinymath.card")
    parser.add_argument("measured", type=Path, help="JSON that the gates wrote")
    parser.add_argument("documents", type=Path, nargs="+", help="Markdown to fill")
    arguments = parser.parse_args(argv)
    texts = parts(json.loads(arguments.measured.read_text()))
    for document in arguments.documents:
        fill(document, texts)
    CHECKSUMS.write_text(checksums())


if __name__ == "__main__":
    main()
