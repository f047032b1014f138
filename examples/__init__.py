"""Programs to start from; each runs offline."""
