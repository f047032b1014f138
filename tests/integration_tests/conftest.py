"""Integration tests may talk to this machine, and to nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from langchain_tts.tinymath import WEIGHTS
from tests.integration_tests.servers import serving
from tests.integration_tests.tool_model import save_trained

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Open loopback to the tests in this folder (unit tests have no socket at all)."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.allow_hosts(["127.0.0.1", "::1"]))


@pytest.fixture(scope="session")
def policy_server() -> Iterator[str]:
    """A vLLM server of the embedded policy: its base address."""
    with serving(WEIGHTS / "policy", name="tinymath") as url:
        yield url


@pytest.fixture(scope="session")
def tag_prm_server() -> Iterator[str]:
    """A vLLM server of the embedded verifier that answers with tags."""
    with serving(WEIGHTS / "tag-prm", name="tinymath-tag") as url:
        yield url


@pytest.fixture(scope="session")
def tool_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that calls the tools that LangChain's own tests ask for."""
    return save_trained(tmp_path_factory.mktemp("tool-model"))


@pytest.fixture(scope="session")
def tool_server(tool_model: Path) -> Iterator[str]:
    """A vLLM server of that model, which finds its calls: its base address."""
    flags = ("--enable-auto-tool-choice", "--tool-call-parser", "hermes")
    with serving(tool_model, *flags, name="tool-model") as url:
        yield url
