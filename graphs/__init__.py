"""What `langgraph dev` and Studio open: one module a strategy."""
