"""`tool_route` as a graph that `langgraph dev` can open."""

from langchain_tts.strategies import get_strategy

graph = get_strategy("tool_route").build().compile(name="tool_route")
