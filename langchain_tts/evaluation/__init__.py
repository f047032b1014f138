"""Data sets, sweeps over them, and what they measured."""
