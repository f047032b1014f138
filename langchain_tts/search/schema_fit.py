"""Whether a value fits a JSON schema, and if not, why, in plain words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from jsonschema import ValidationError
from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator
from jsonschema.validators import Draft202012Validator, validator_for
from referencing import Registry
from referencing.jsonschema import DRAFT202012

_SHOWN = 60
"""Characters of a value that a reason quotes."""

_TYPES = {
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


class SchemaFit:
    """A JSON schema, ready to check values.

    Nothing is fetched: references lead to places in the schema itself. A schema that is
    broken checks nothing, and `flaw` says what is wrong with it.

    Args:
        schema: The schema.
        noun: What its fields are called, e.g. `argument`.
    """

    def __init__(self, schema: Any, noun: str) -> None:
        """Check the schema."""
        self._noun = noun
        self._validator: Validator | None = None
        self.flaw: str | None = None
        try:
            self._validator = _compiled(schema)
        except Exception as error:  # noqa: BLE001 (a broken schema raises anything)
            text = getattr(error, "message", None) or str(error) or type(error).__name__
            self.flaw = _cut(" ".join(text.split()))

    def misfit(self, value: Any) -> str | None:
        """Why a value does not fit; None if it does."""
        if self._validator is None:
            return None
        try:
            error = next(self._validator.iter_errors(value), None)
            # Of what an `anyOf` tried, the part that is told is the one that says most.
            told = None if error is None else best_match(iter([error]))
        except RecursionError:
            return "it has too many levels to be checked"
        except Exception:  # noqa: BLE001 (numbers too large for a float, for instance)
            return "it cannot be checked by the schema"
        return None if told is None else self._words(told)

    def _words(self, error: ValidationError) -> str:
        place = _place(error)
        where = f"{self._noun} {place!r}" if place else "the whole"
        wanted: Any = error.validator_value
        found: Any = error.instance
        match error.validator:
            case "required":
                inside = f"{place}." if place else ""
                missing = [f"'{inside}{key}'" for key in wanted if key not in found]
                are = "is" if len(missing) == 1 else "are"
                return f"{self._noun} {', '.join(missing)} {are} missing"
            case "type":
                kinds = [wanted] if isinstance(wanted, str) else wanted
                names = " or ".join(_TYPES.get(kind, kind) for kind in kinds)
                return f"{where} must be {names}, but is {_shown(found)}"
            case "enum":
                return (
                    f"{where} must be one of {_shown(wanted)}, but is {_shown(found)}"
                )
            case "const":
                return f"{where} must be {_shown(wanted)}, but is {_shown(found)}"
            case "anyOf" | "oneOf":
                return f"{where} has none of the expected forms: it is {_shown(found)}"
        return f"{where} is wrong: {_cut(error.message)}"


def _compiled(schema: Any) -> Validator:
    kind = validator_for(schema, default=Draft202012Validator)
    kind.check_schema(schema)
    registry: Registry[Any] = Registry()
    resolver = registry.resolver_with_root(DRAFT202012.create_resource(schema))
    for reference in _references(schema):
        resolver.lookup(reference)
    validator = kind(schema, registry=registry)
    # A reference that leads to itself shows with any value.
    next(validator.iter_errors({}), None)
    return validator


def _references(schema: Any) -> Iterator[str]:
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if isinstance(part.get("$ref"), str):
                yield part["$ref"]
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


def _place(error: ValidationError) -> str:
    """Where in the value it is, e.g. `lines[2].name`."""
    parts = [f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path]
    return "".join(parts).lstrip(".")


def _shown(value: Any) -> str:
    return _cut(json.dumps(value, ensure_ascii=False))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
