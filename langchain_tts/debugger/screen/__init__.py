"""The screen of `langchain-tts debug`, with textual."""

from langchain_tts.debugger.screen._app import DebuggerApp

__all__ = ["DebuggerApp"]
