"""`particle_filter` as a graph that `langgraph dev` can open."""

from langchain_tts.strategies import get_strategy

graph = get_strategy("particle_filter").build().compile(name="particle_filter")
