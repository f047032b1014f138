"""`best_first` as a graph that `langgraph dev` can open."""

from langchain_tts.strategies import get_strategy

graph = get_strategy("best_first").build().compile(name="best_first")
