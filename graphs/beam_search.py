"""`beam_search` as a graph that `langgraph dev` can open."""

from langchain_tts.strategies import get_strategy

graph = get_strategy("beam_search").build().compile(name="beam_search")
