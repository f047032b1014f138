"""`cascade` as a graph that `langgraph dev` can open."""

from langchain_tts.strategies import get_strategy

graph = get_strategy("cascade").build().compile(name="cascade")
