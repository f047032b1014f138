"""`compute_optimal` as a graph that `langgraph dev` can open."""

from langchain_tts.strategies import get_strategy

graph = get_strategy("compute_optimal").build().compile(name="compute_optimal")
