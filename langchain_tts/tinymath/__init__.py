"""tinymath: maths problems and the small models that come with the package."""

from __future__ import annotations

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
"""One folder a model, in Hugging Face format."""

REVISE = "That may be wrong. Try again."
"""What the reviser was trained to answer with another solution."""
