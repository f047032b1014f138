from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from langchain_tts import cli
from langchain_tts.cli import main
from langchain_tts.evaluation import local
from langchain_tts.evaluation.store import read_run
from tests.unit_tests.counting import CountingPolicy, KnowingPrm

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_tts.evaluation.records import SearchRecord

QUESTION = "What is 6*7?"


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names `tinymath` stand for scripted models here."""
    monkeypatch.setattr(
        "langchain_tts.policies._resolved", {"tinymath": CountingPolicy()}
    )
    resolve = {"tinymath": KnowingPrm(), None: None}.__getitem__
    monkeypatch.setattr("langchain_tts.rewards.resolve_prm", resolve)
    monkeypatch.setattr("langchain_tts.evaluation.local.resolve_prm", resolve)


def _one_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("langchain-tts: error: ")
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    return captured.err


def test_solve_as_json_is_one_object_without_the_tree(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["solve", QUESTION, "--json", "--seed", "3", "--budget", "8"]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert captured.err == ""
    assert result["answer"] == "42"
    assert result["text"] == "step 1\n\nstep 2\n\nAnswer: \\boxed{42}"
    assert result["strategy"] == "beam_search"
    assert result["budget"]["samples"] == 8
    assert result["spent"]["samples"] == 8
    assert result["stop_reason"] == "finished"
    assert result["seed"] == 3
    assert len(result["candidates"]) == 8
    assert result["votes"][0]["answer"] == "42"
    assert result["degradations"] == []
    assert "tree" not in result


def test_solve_without_a_terminal_ends_with_the_answer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["solve", QUESTION, "--strategy", "best_of_n"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "best_of_n, N 16"
    assert lines[-1] == "answer: 42"


def test_quiet_prints_the_answer_alone(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--quiet", "--prm", "none", "--strategy", "majority_vote"]
    assert main(["solve", QUESTION, *arguments, "--seed", "2"]) == 0
    assert capsys.readouterr().out == "42\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([""], "question is empty"),
        (["7 " * 50_000], "the question"),
        ([QUESTION, "--budget", "0"], "budget samples is 0; give a whole number"),
        ([QUESTION, "--budget", "-1"], "budget samples is -1; give a whole number"),
        ([QUESTION, "--budget", "many"], "budget is 'many'; give a whole number"),
        ([QUESTION, "--strategy", "guess"], "unknown strategy 'guess'; the strategies"),
        ([QUESTION, "--policy", "gpt"], "unknown policy 'gpt'; the policies are"),
        ([QUESTION, "--seed", "x"], "invalid int value: 'x'; see langchain-tts solve"),
        ([QUESTION, "--prm", "none"], "prm is None"),
        ([], "required: QUESTION; see langchain-tts solve --help"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_bad_input_to_solve_is_one_line_and_exit_code_2(
    arguments: list[str],
    expected: str,
    as_json: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["solve", *arguments, *["--json"] * as_json]) == 2
    assert expected in _one_line(capsys)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--budgets", "1,many"], "--budgets has 'many'; give whole numbers above 0"),
        (["--budgets", "0"], "--budgets has '0'"),
        (["--limit", "-3"], "--limit has '-3'"),
        (["--dataset", "gsm9k"], "unknown data set 'gsm9k'"),
        (["--dataset", "no/file.jsonl"], "there is no file no/file.jsonl"),
        (["--split", "dev"], "unknown split 'dev'"),
        (["--strategies", "greedy,guess"], "unknown strategy 'guess'"),
        (["--policy", "gpt"], "unknown policy 'gpt'"),
        (["--seeds", "0,x"], "--seeds is '0,x'; give whole numbers separated by"),
        (["--out", "pyproject.toml"], "--out is 'pyproject.toml', a file; give a fold"),
        (["--markdown", "no/folder/table.md"], "there is no folder no/folder"),
    ],
)
def test_bad_input_to_eval_is_one_line_and_exit_code_2(
    arguments: list[str],
    expected: str,
    dataset: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = {"--dataset", "--split"} & set(arguments)
    given = arguments if own else ["--dataset", str(dataset), *arguments]
    assert main(["eval", *given]) == 2
    assert expected in _one_line(capsys)


@pytest.mark.parametrize("arguments", [[], ["guess"]])
def test_without_a_known_command(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "--help" in _one_line(capsys)


def test_ctrl_c_is_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_strategies", interrupt)
    assert main(["strategies"]) == 130
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = tmp_path / "sums.jsonl"
    records = [
        {"problem": QUESTION, "answer": "42", "level": 1},
        {"problem": "What is 40+1?", "answer": "41", "level": 2},
    ]
    path.write_text("\n".join(map(json.dumps, records)))
    return path


def _eval(dataset: Path, *arguments: str) -> int:
    given = ["--strategies", "majority_vote,beam_search", "--budgets", "4,16"]
    return main(["eval", "--dataset", str(dataset), *given, *arguments])


def test_eval_as_json_has_a_row_for_each_way_of_answering(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert _eval(dataset, "--json", "--out", str(run)) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert json.loads((run / "summary.json").read_text()) == report
    assert report["dataset"] == str(dataset)
    assert (report["seed"], report["seeds"]) == (0, [0])
    keys = {
        "strategy",
        "budget",
        "score",
        "vote",
        "n",
        "accuracy",
        "stderr",
        "by_level",
        "pass_at_k",
        "samples",
        "generated_tokens",
        "policy_flops",
        "prm_flops",
    }
    assert all(set(row) == keys for row in report["rows"])
    assert len(report["rows"]) == 2 + 2 * 9
    row = next(r for r in report["rows"] if (r["score"], r["vote"]) == ("last", "vote"))
    assert (row["n"], row["accuracy"]) == (2, 0.5)
    assert row["by_level"]["2"]["accuracy"] == 0.0


def test_a_run_is_gone_on_with_and_rescored(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    arguments = ["--seeds", "0,1", "--set", "vote=vote", "--out", run]
    assert _eval(dataset, *arguments) == 0
    first = capsys.readouterr()
    assert "2 questions, seeds 0, 1" in first.out
    rows = (tmp_path / "run" / "rows.jsonl").read_bytes()
    assert _eval(dataset, *arguments) == 0
    again = capsys.readouterr()
    assert again.out == first.out
    assert "12 of 12 searches were done before" in again.err
    # The policy is not resolved: its name is of no model.
    manifest = tmp_path / "run" / "run.json"
    named = json.loads(manifest.read_text()) | {"policy": "gone"}
    manifest.write_text(json.dumps(named))
    assert main(["rescore", run]) == 0
    assert capsys.readouterr().out.splitlines()[2:] == first.out.splitlines()[2:]
    assert (tmp_path / "run" / "rows.jsonl").read_bytes() == rows
    assert main(["rescore", run, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["policy"] == "gone"


def test_ctrl_c_says_what_a_run_keeps_and_how_to_go_on(
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    search_job = local.search_job
    begun = 0

    async def interrupt(*arguments: Any) -> SearchRecord:
        nonlocal begun
        begun += 1
        if begun > 2:
            raise KeyboardInterrupt
        return await search_job(*arguments)

    monkeypatch.setattr(local, "IN_FLIGHT", 1)
    monkeypatch.setattr(local, "search_job", interrupt)
    assert _eval(dataset, "--out", str(run)) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == (
        f"langchain-tts: stopped; {run} keeps 2 of 6 searches, and the same command "
        "goes on with it"
    )
    assert len(read_run(run).records) == 2
    monkeypatch.undo()


@pytest.mark.parametrize("run", ["", "nothing"])
def test_what_is_no_run_is_not_rescored(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rescore", str(tmp_path / run)]) == 2
    assert "is no run" in _one_line(capsys)
    assert list(tmp_path.iterdir()) == []


def test_eval_prints_a_table(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _eval(dataset, "--limit", "2") == 0
    out = capsys.readouterr().out
    assert "2 questions" in out
    assert "50.0±35.4" in out


def test_eval_says_which_searches_failed(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = {"problem": " ", "answer": "1", "level": 1}
    dataset.write_text(dataset.read_text() + "\n" + json.dumps(empty))
    assert _eval(dataset, "--json") == 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert "3 searches failed and count as wrong" in last


def test_strategies_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["strategies"]) == 0
    out = capsys.readouterr().out
    assert {"greedy", "majority_vote", "best_of_n", "beam_search"} <= set(out.split())


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--version", "--help"):
        with pytest.raises(SystemExit) as stopped:
            main([option])
        assert stopped.value.code == 0
    assert "solve" in capsys.readouterr().out
