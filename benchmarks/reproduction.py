"""Both papers' claims at small scale, from runs of `langchain-tts eval`.

    python -m benchmarks.reproduction --runs runs --sweep --write docs/reproduction.md

`--sweep` makes the runs that are missing and goes on with those that were stopped;
without it, what is there is read. `--claims 2` does both for one claim.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.repro_accuracy import accuracy
from benchmarks.repro_beam import beam_search
from benchmarks.repro_bins import oracle_bins
from benchmarks.repro_exchange import exchange
from benchmarks.repro_optimal import compute_optimal
from benchmarks.repro_prm import verifiers
from benchmarks.repro_revisions import revisions
from benchmarks.repro_runs import PAIRS, PLANS, MissingRunError, Runs
from benchmarks.repro_small import small_against_large
from benchmarks.repro_text import table
from langchain_tts import cli
from langchain_tts._markdown import fill


@dataclass(frozen=True)
class Claim:
    """One claim of the papers.

    Args:
        number: As in the document.
        runs: The names of the runs that it reads.
        write: What was measured, as Markdown.
    """

    number: int
    runs: tuple[str, ...]
    write: Callable[[Runs], str]

    @property
    def part(self) -> str:
        """The name of its marks in the document."""
        return f"claim-{self.number}"


CLAIMS = (
    Claim(1, ("test-strong",), accuracy),
    Claim(2, (*(pair.run for pair in PAIRS), "test-oracle"), beam_search),
    Claim(
        3,
        (
            *(run for pair in PAIRS for run in (pair.run, *pair.more, pair.optimal)),
            *("test-more", "test-oracle"),
        ),
        compute_optimal,
    ),
    Claim(4, ("test-small", "test-strong", "test-large"), small_against_large),
    Claim(5, (*(pair.run for pair in PAIRS), "test-oracle"), verifiers),
    Claim(6, ("test-reviser", "test-strong", "test-oracle"), revisions),
    Claim(7, ("test-small", "test-strong", "test-large", "test-oracle"), exchange),
)


def text_of(claim: Claim, runs: Runs) -> str:
    """A claim's part of the document; what is missing is said instead."""
    command = (
        "```bash\npython -m benchmarks.reproduction --runs runs --sweep "
        f"--claims {claim.number} --write docs/reproduction.md\n```"
    )
    try:
        return f"{command}\n\n{claim.write(runs)}"
    except MissingRunError as error:
        return f"{command}\n\nNot measured: {error}."


def difficulty_of(runs: Runs) -> str:
    """The bins that the claims use."""
    try:
        bins = oracle_bins(runs)
    except MissingRunError as error:
        return f"Not measured: {error}."
    bounds = [1.0, *bins.edges, 0.0]
    lines = [
        [str(number), str(len(ids)), f"{100 * low:.1f} to {100 * high:.1f}"]
        for (number, ids), high, low in zip(
            bins.groups.items(), bounds, bounds[1:], strict=False
        )
    ]
    drawn = table(["bin", "questions", "pass@1 of the default policy, %"], lines)
    return f"By pass@1 from {bins.source}:\n\n{drawn}"


def commands(claims: Sequence[Claim]) -> str:
    """What makes the runs, as a shell block."""
    names = {name for claim in claims for name in claim.runs}
    lines = [plan.command() for name, plan in PLANS.items() if name in names]
    return "```bash\n" + "\n".join(lines) + "\n```"


def missing(claims: Sequence[Claim], runs: Runs) -> list[str]:
    """The runs that claims read and that are not there, or not at all complete."""
    names = dict.fromkeys(name for claim in claims for name in claim.runs)
    return [name for name in names if not runs.has(name)]


def sweep(claims: Sequence[Claim], folder: Path) -> None:
    """Make the runs of some claims, one after another.

    Raises:
        MissingRunError: If one cannot be made; what there is of it stays.
    """
    names = {name for claim in claims for name in claim.runs}
    for name, plan in PLANS.items():
        if name in names:
            print(plan.command(folder), flush=True)
            if cli.main(plan.arguments(folder)) != 0:
                msg = f"run {name!r} was not finished; give the same command again"
                raise MissingRunError(msg)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point: 0, or 1 if a run could not be made."""
    arguments = _parser().parse_args(argv)
    wanted = arguments.claims or [claim.number for claim in CLAIMS]
    claims = [claim for claim in CLAIMS if claim.number in wanted]
    runs = Runs(arguments.runs)
    if arguments.sweep:
        try:
            sweep(claims, runs.folder)
        except MissingRunError as error:
            print(error, file=sys.stderr)
            return 1
    for name in missing(claims, runs):
        print(f"run {name!r} is missing: {PLANS[name].command()}", file=sys.stderr)
    parts = {claim.part: text_of(claim, runs) for claim in claims}
    parts |= {"commands": commands(CLAIMS), "difficulty": difficulty_of(runs)}
    if arguments.write is None:
        print("\n\n".join(parts.values()))
    else:
        write(arguments.write, parts)
    return 0


def write(document: Path, parts: Mapping[str, str]) -> None:
    """Put parts between their marks; the rest of the document stays.

    Raises:
        DocumentError: If it lacks one of them.
    """
    content = document.read_text(encoding="utf-8")
    for part, text in parts.items():
        content = fill(content, part, text)
    document.write_text(content, encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reproduction")
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path("runs"),
        metavar="FOLDER",
        help="where they are or will be (%(default)s)",
    )
    parser.add_argument("--sweep", action="store_true", help="make the runs first")
    parser.add_argument(
        "--claims",
        type=int,
        nargs="+",
        choices=[claim.number for claim in CLAIMS],
        help="only these (all)",
    )
    parser.add_argument(
        "--write", type=Path, metavar="DOCUMENT", help="Markdown to fill"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
