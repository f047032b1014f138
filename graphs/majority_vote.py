"""`majority_vote` as a graph that `langgraph dev` can open."""

from langchain_tts.strategies import get_strategy

graph = get_strategy("majority_vote").build().compile(name="majority_vote")
