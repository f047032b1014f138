"""`best_of_n` as a graph that `langgraph dev` can open."""

from langchain_tts.strategies import get_strategy

graph = get_strategy("best_of_n").build().compile(name="best_of_n")
