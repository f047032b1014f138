"""The page as a file: whole in itself, inert, and the same each time."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from langchain_tts.cli import main
from langchain_tts.evaluation.page.build import Built, build, write
from langchain_tts.evaluation.records import SearchRecord
from langchain_tts.evaluation.store import Manifest
from tests.unit_tests.evaluation.page_runs import large_run, save, small_run

HOSTILE = '<script>alert("1")</script>$\\frac{'


@pytest.fixture(scope="module")
def built() -> Built:
    return build([small_run(), large_run()], command="langchain-tts report RUN")


def test_a_page_has_all_figures_that_there_is_data_for(built: Built) -> None:
    assert sorted(built.figures) == [
        "1-accuracy.png",
        "1-bins-levels.png",
        "1-bins-own.png",
        "1-bins-quantiles.png",
        "1-compute-optimal.png",
        "1-parameters.png",
        "1-revisions.png",
        "1-votes.png",
        "sizes.png",
    ]
    assert all(content.startswith(b"\x89PNG") for content in built.figures.values())
    assert built.html.count("<figure>") == 9


def test_a_page_says_what_it_left_out_and_which_command_adds_it(built: Built) -> None:
    assert "--strategies compute_optimal" in built.html
    assert "langchain-tts report RUN --calibration FILE" in built.html


def test_a_page_loads_nothing(built: Built) -> None:
    own = built.html.replace("http://www.w3.org/", "")
    assert "http://" not in own
    assert "https://" not in own
    assert "<script" not in own
    assert "<link" not in own
    assert "default-src &#x27;none&#x27;" in own or "default-src 'none'" in own


def test_ids_are_unique(built: Built) -> None:
    ids = [part.partition('"')[0] for part in built.html.split(' id="')[1:]]
    assert len(ids) == len(set(ids))


def test_texts_of_a_run_are_inert() -> None:
    run = small_run()
    records = [
        cast(
            "SearchRecord",
            {**r, "strategy": r["strategy"].replace("best_of_n", HOSTILE)},
        )
        for r in run.records
        if r["strategy"] in ("best_of_n", "greedy")
    ]
    manifest = {**run.manifest, "dataset": HOSTILE, "policy": HOSTILE}
    hostile = replace(run, records=records, manifest=cast("Manifest", manifest))
    found = build([hostile], command=HOSTILE, title=HOSTILE)
    assert "<script" not in found.html
    assert "&lt;script&gt;" in found.html


def test_a_file_has_its_figures_beside_it(built: Built, tmp_path: Path) -> None:
    page = write(built, tmp_path / "deep" / "mine.html")
    assert page.read_text("utf-8") == built.html
    assert (tmp_path / "deep" / "mine_figures" / "sizes.png").is_file()


def test_the_command_makes_the_same_bytes_of_the_same_run(
    built: Built, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [save(small_run(), tmp_path / "one"), save(large_run(), tmp_path / "two")]
    assert main(["report", *map(str, folders)]) == 0

    page = folders[0] / "report" / "report.html"
    assert capsys.readouterr().out == f"{page}\n"
    html = page.read_text("utf-8")
    assert html.replace("report one two</pre>", "report RUN</pre>") == built.html
    for name, content in built.figures.items():
        assert (page.parent / "report_figures" / name).read_bytes() == content
    # No path of this machine is in it.
    assert str(tmp_path) not in html


def test_without_matplotlib_the_error_names_the_extra(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    folder = save(small_run(), tmp_path / "run")
    assert main(["report", str(folder)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert 'pip install "langchain-tts[report]"' in error
