"""Search as pure functions over plain data: no I/O, no LangGraph, no torch."""
