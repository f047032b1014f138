"""The wheel works where the checkout is not: built, installed elsewhere and run."""

import json
import os
import site
import subprocess
import sys
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_MAX_WEIGHTS_BYTES = 25 * 1024 * 1024


def _run(command: Sequence[str | Path], cwd: Path) -> str:
    """Run a command without this process' import path; return its standard output."""
    hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    _run([*build, "--outdir", str(folder), str(_ROOT)], cwd=folder)
    (path,) = folder.glob("langchain_tts-*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty environment with the wheel, and this one's packages as dependencies.

    The dependencies are not copied: a `.pth` file adds their folder to the import path,
    after the environment's own. Python reads no `.pth` file of a folder that was added
    in this way, so the checkout's editable install stays invisible.
    """
    folder = tmp_path_factory.mktemp("elsewhere") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
    _run([*pip, "install", "--no-deps", "--no-index", str(wheel)], cwd=folder)
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    return folder


def test_wheel_holds_the_package_and_its_weights_and_nothing_else(wheel: Path) -> None:
    files = zipfile.ZipFile(wheel).infolist()
    names = [file.filename for file in files]
    weights = "langchain_tts/tinymath/weights/"
    shipped = [file.file_size for file in files if file.filename.startswith(weights)]

    assert {name.split("/")[0].split("-")[0] for name in names} == {"langchain_tts"}
    assert "langchain_tts/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert any(
        name.startswith(weights) and name.endswith(".safetensors") for name in names
    )
    assert sum(shipped) <= _MAX_WEIGHTS_BYTES


def test_installed_wheel_is_what_is_imported(environment: Path) -> None:
    python = environment / "bin" / "python"
    code = "import langchain_tts; print(langchain_tts.__file__)"

    imported = _run([python, "-c", code], cwd=environment)

    assert environment.resolve() in Path(imported.strip()).resolve().parents


def test_installed_command_solves_a_question(environment: Path) -> None:
    command = environment / "bin" / "langchain-tts"
    question = "What is 3+4?"

    printed = _run(
        [command, "solve", question, "--budget", "4", "--json"], cwd=environment
    )

    solved = json.loads(printed)
    assert set(solved) >= {
        "answer",
        "text",
        "strategy",
        "budget",
        "spent",
        "stop_reason",
        "candidates",
    }
    assert solved["answer"] is not None
    assert solved["candidates"]
