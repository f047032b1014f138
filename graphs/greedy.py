"""`greedy` as a graph that `langgraph dev` can open."""

from langchain_tts.strategies import get_strategy

graph = get_strategy("greedy").build().compile(name="greedy")
