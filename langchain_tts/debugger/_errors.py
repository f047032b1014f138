"""What the debugger raises."""

from __future__ import annotations


class DebuggerError(ValueError):
    """Something that the debugger cannot do."""


def missing_extra(error: ImportError) -> DebuggerError:
    """The error for a package that only the debugger needs."""
    msg = (
        f"the debugger needs {error.name}, which is not installed; "
        'run: pip install "langchain-tts[debug]"'
    )
    return DebuggerError(msg)
