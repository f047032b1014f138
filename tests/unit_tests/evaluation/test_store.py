from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from langchain_tts.evaluation.datasets import Question
from langchain_tts.evaluation.records import SearchRecord
from langchain_tts.evaluation.store import (
    LOCK,
    Manifest,
    RunError,
    RunWriter,
    fingerprint,
    read_records,
    read_run,
    write_whole,
)

MANIFEST = Manifest(
    version=1,
    policy="counting",
    prm=None,
    policy_parameters=1000,
    prm_parameters=0,
    dataset="sums",
    fingerprint="0" * 16,
    questions=3,
    strategies=["greedy"],
    budgets=[1],
    seeds=[0],
    parameters={"temperature": 0.5},
)


def _record(name: str, *, error: str | None = None) -> SearchRecord:
    return SearchRecord(
        id=name,
        question=f"{name}? π",
        gold="42",
        level=1,
        strategy="greedy",
        budget=1,
        seed=0,
        answers=[],
        finals=[],
        samples=1,
        spent={},
        seconds=0.0,
        stop_reason="finished",
        degradations=[],
        error=error,
    )


def _write(folder: Path, *records: SearchRecord) -> None:
    with RunWriter(folder) as writer:
        writer.begin(MANIFEST)
        for record in records:
            writer.write(record)


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    _write(tmp_path / "run", _record("a"), _record("b"))
    run = read_run(tmp_path / "run")
    assert run.manifest == MANIFEST
    assert run.records == [_record("a"), _record("b")]


def test_a_record_is_on_disk_when_it_was_written(tmp_path: Path) -> None:
    with RunWriter(tmp_path) as writer:
        writer.begin(MANIFEST)
        writer.write(_record("a"))
        assert read_run(tmp_path).records == [_record("a")]


def test_a_run_is_gone_on_with(tmp_path: Path) -> None:
    _write(tmp_path, _record("a"))
    with RunWriter(tmp_path) as writer:
        assert list(writer.begin({**MANIFEST, "dataset": "a new name"})) == [
            _record("a")
        ]
        writer.write(_record("b"))
    assert [record["id"] for record in read_run(tmp_path).records] == ["a", "b"]


def test_a_search_that_was_tried_again_counts_once(tmp_path: Path) -> None:
    _write(tmp_path, _record("a", error="no"), _record("b"), _record("a"))
    assert read_run(tmp_path).records == [_record("a"), _record("b")]
    assert len(list(read_records(tmp_path))) == 3


@pytest.mark.parametrize("cut", [1, 2, 40, -1])
def test_a_line_that_was_cut_off_is_no_record(tmp_path: Path, cut: int) -> None:
    _write(tmp_path, _record("a"))
    whole = (tmp_path / "rows.jsonl").read_bytes()
    (tmp_path / "rows.jsonl").write_bytes(whole + whole.replace(b'"a"', b'"b"')[:cut])
    assert read_run(tmp_path).records == [_record("a")]
    assert (tmp_path / "rows.jsonl").read_bytes() != whole
    _write(tmp_path, _record("c"))
    assert [record["id"] for record in read_run(tmp_path).records] == ["a", "c"]


@pytest.mark.parametrize("size", [10, 65536, 200_000])
def test_a_long_cut_line_is_dropped_whole(tmp_path: Path, size: int) -> None:
    _write(tmp_path)
    (tmp_path / "rows.jsonl").write_bytes(b"{" * size)
    _write(tmp_path, _record("a"))
    assert read_run(tmp_path).records == [_record("a")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"id": "a", "ques\n', "line 2 is damaged"),
        (b"\n", "Expecting value"),
        (b"\x00\x00\n", "line 2 is damaged"),
        (b"\xff\n", "line 2 is damaged"),
        (b"[1]\n", "line 2 is damaged"),
        (b'{"id": "a"}\n', "it lacks answers, budget"),
    ],
)
def test_a_damaged_line_in_the_middle_is_named(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    _write(tmp_path, _record("a"), _record("b"))
    first, second = (tmp_path / "rows.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "rows.jsonl").write_bytes(first + line + second)
    with pytest.raises(RunError, match=reason) as raised:
        read_run(tmp_path)
    assert f"{tmp_path / 'rows.jsonl'} line 2 is damaged" in str(raised.value)
    with RunWriter(tmp_path) as writer, pytest.raises(RunError, match="line 2"):
        list(writer.begin(MANIFEST))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"policy": "other"}, "its policy is 'counting', not 'other'"),
        ({"seeds": [0, 1]}, r"its seeds is \[0\], not \[0, 1\]"),
        ({"fingerprint": "1" * 16}, "its fingerprint"),
        ({"parameters": {}}, "its parameters"),
    ],
)
def test_another_run_is_refused(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    _write(tmp_path, _record("a"))
    with RunWriter(tmp_path) as writer, pytest.raises(RunError, match=said):
        writer.begin({**MANIFEST, **change})  # type: ignore[typeddict-item]
    assert read_run(tmp_path).records == [_record("a")]


def test_rows_without_a_manifest_are_refused(tmp_path: Path) -> None:
    _write(tmp_path, _record("a"))
    (tmp_path / "run.json").unlink()
    with RunWriter(tmp_path) as writer, pytest.raises(RunError, match=r"no run\.json"):
        writer.begin(MANIFEST)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is no run"),
        ("{", "is no run"),
        ("[]", "version None"),
        ('{"version": 2}', "version 2, this package reads 1"),
        ('{"version": 1}', "lacks budgets, dataset"),
    ],
)
def test_what_is_no_run_is_refused(
    tmp_path: Path, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunError, match=said):
        read_run(tmp_path)


def test_two_writers_are_refused_and_one_after_the_other_is_not(
    tmp_path: Path,
) -> None:
    with (
        RunWriter(tmp_path),
        pytest.raises(RunError, match=f"process {os.getpid()} is writing into"),
    ):
        RunWriter(tmp_path)
    _write(tmp_path, _record("a"))
    assert read_run(tmp_path).records == [_record("a")]


def test_the_lock_of_a_process_that_was_killed_does_not_block(tmp_path: Path) -> None:
    script = (
        "import fcntl, os, sys\n"
        "lock = open(sys.argv[1], 'w')\n"
        "fcntl.flock(lock, fcntl.LOCK_EX)\n"
        "lock.write(str(os.getpid()))\n"
        "lock.flush()\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / LOCK)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(RunError, match=f"process {process.pid} is writing"):
            RunWriter(tmp_path)
        process.kill()
    _write(tmp_path, _record("a"))


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        RunError, match=r"cannot write into .*file.run: Not a directory"
    ):
        RunWriter(tmp_path / "file" / "run")


def test_a_full_disk_is_said_and_what_is_there_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    with RunWriter(tmp_path) as writer:
        writer.begin(MANIFEST)
        writer.write(_record("a"))
        monkeypatch.setattr("langchain_tts.evaluation.store.os.fsync", full)
        with pytest.raises(RunError, match="No space left on device; free or choose"):
            writer.write(_record("b"))
    monkeypatch.undo()
    assert read_run(tmp_path).records[0] == _record("a")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("old\n")

    def breaks() -> object:
        yield b"new\n"
        msg = "no more"
        raise ValueError(msg)

    with pytest.raises(ValueError, match="no more"):
        write_whole(path, breaks())  # type: ignore[arg-type]
    assert path.read_text() == "old\n"
    write_whole(path, [b"new\n", b"er\n"])
    assert path.read_text() == "new\ner\n"


def test_a_fingerprint_is_of_questions_and_answers_in_any_order() -> None:
    one, two = Question("a", "1", 1), Question("b", "2", 2)
    assert fingerprint([one, two]) == fingerprint([two, one])
    assert fingerprint([one]) != fingerprint([one, two])
    assert fingerprint([one]) != fingerprint([Question("a", "2", 1)])
    assert len(fingerprint([one])) == 16


def test_the_manifest_is_readable_json(tmp_path: Path) -> None:
    _write(tmp_path)
    assert json.loads((tmp_path / "run.json").read_text()) == MANIFEST
