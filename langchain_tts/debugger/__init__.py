"""Step-through debugging of a search, without a server.

`SearchDebugger` runs a strategy's graph one node at a time. Every state is saved, and
can be looked at, edited, forked and resumed; `langchain-tts debug` is a screen for it.
"""

from langchain_tts.debugger._compare import Change, Comparison, Difference, Side
from langchain_tts.debugger._debugger import SearchDebugger
from langchain_tts.debugger._errors import DebuggerError
from langchain_tts.debugger._history import Point
from langchain_tts.debugger._sessions import SessionInfo

__all__ = [
    "Change",
    "Comparison",
    "DebuggerError",
    "Difference",
    "Point",
    "SearchDebugger",
    "SessionInfo",
    "Side",
]
