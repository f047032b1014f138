"""`dvts` as a graph that `langgraph dev` can open."""

from langchain_tts.strategies import get_strategy

graph = get_strategy("dvts").build().compile(name="dvts")
