"""What servers answer: usable JSON, or an error that says what to do."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from langchain_tts.engines.errors import ModelLoadError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

_RETRIED = frozenset({408, 425, 429})
"""The statuses below 500 that another try may cure."""
_NOT_IMPLEMENTED = 501
_SHOWN = 300
"""Characters of a server's message that an error repeats."""


class ServerError(RuntimeError):
    """A server that did not answer, or not usably; another try may succeed.

    Args:
        message: What happened.
        retry_after: Seconds that the server asks to be left alone.
    """

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        """Keep the server's wish."""
        super().__init__(message)
        self.retry_after = retry_after


class ServerStalledError(ServerError):
    """A server that took all the time that a try may take; another one may do it."""


class ServerRefusedError(ValueError):
    """A request that the server understood and refused; it would do so again.

    Args:
        message: What was wrong and what to do.
        status: The HTTP status.
    """

    def __init__(self, message: str, *, status: int) -> None:
        """Keep the status."""
        super().__init__(message)
        self.status = status


def check(response: httpx.Response, server: str) -> None:
    """Let a good answer pass.

    Args:
        response: Whose body has been read, if its status is not 2xx.
        server: Its address, for errors.

    Raises:
        ServerError: For 429, 5xx and other statuses that a retry may cure.
        ServerRefusedError: For other statuses.
    """
    if response.is_success:
        return
    status = response.status_code
    said = f"{server} answered {status}: {message(response)}"
    if status in _RETRIED or (status >= 500 and status != _NOT_IMPLEMENTED):  # noqa: PLR2004
        raise ServerError(said, retry_after=_retry_after(response))
    raise ServerRefusedError(said, status=status)


def read_json(text: str | bytes, server: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ServerError: If it is none, or if it is an error that came with status 200.
    """
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        shown = text if isinstance(text, str) else text.decode(errors="replace")
        msg = f"{server} answered what is no JSON object: {_short(shown)!r}"
        raise ServerError(msg)
    if answer.get("error"):
        msg = f"{server} failed while answering: {_said(answer)}"
        raise ServerError(msg)
    return answer


def message(response: httpx.Response) -> str:
    """The server's own words about what was wrong."""
    try:
        body = response.json()
    except ValueError:
        body = None
    return _said(body) if isinstance(body, dict) else _short(response.text)


def _said(body: dict[str, Any]) -> str:
    # OpenAI and vLLM: {"error": {"message": ...}}; FastAPI: {"detail": ...}.
    error = body.get("error", body)
    if isinstance(error, dict):
        error = error.get("message") or error.get("detail") or error
    return _short(str(error))


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + " ..."


def _retry_after(response: httpx.Response) -> float:
    try:
        return max(0.0, float(response.headers.get("retry-after", 0)))
    except ValueError:
        # A date instead of seconds: our own waits will do.
        return 0.0


@contextlib.contextmanager
def opening() -> Iterator[None]:
    """A server that does not answer when it is first asked is a model without a file.

    Raises:
        ModelLoadError: In the place of a `ServerError`.
    """
    try:
        yield
    except ServerError as error:
        msg = (
            f"{error}; is the server running? Start one, e.g. with "
            "'vllm serve MODEL --port 8000', or give another address"
        )
        raise ModelLoadError(msg) from None
