"""What can be wrong with a model or with what it is given."""

from __future__ import annotations


class UnknownModelError(ValueError):
    """A model name that is not in the registry."""


class ModelLoadError(ValueError):
    """A model folder that is missing, incomplete or damaged."""


class PromptTooLongError(ValueError):
    """A prompt that leaves no room for a new token in the context window."""


class NoToolsError(ValueError):
    """A model that was given tools and cannot call any."""


class MissingExtraError(ImportError, ValueError):
    """A backend that needs a package which is not installed."""


class EngineDiedError(RuntimeError):
    """An engine whose processes ended while it had work; the next work restarts it."""
