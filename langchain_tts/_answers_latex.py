"""LaTeX of answers, as text: normal form, splitting at the top level, numbers."""

import re
from collections.abc import Set as AbstractSet
from fractions import Fraction

_OPENERS = frozenset({"(", "[", "{", r"\{", r"\begin"})
_CLOSERS = frozenset({")", "]", "}", r"\}", r"\end"})

_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|.", re.DOTALL)

_TEXT = r"\\(?:text(?:bf|it|rm|sf|tt|normal|up)?|mbox|hbox|mathrm|rm)"
_TEXT_GROUP = re.compile(_TEXT + r"\s*\{([^{}]*)\}")
_EXPONENT = r"(?:\^\{?-?\d\}?)?"
_UNIT_WORDS = (
    r"(?:(?:square|cubic|sq|cu)\.? *)?"
    r"(?:degrees?|deg|percent|cents?|dollars?|units?|points?"
    r"|mm|cm|km|ft|mi|in|inch(?:es)?|foot|feet|yards?|miles?"
    r"|(?:milli|centi|kilo)?met(?:er|re)s?"
    r"|kg|mg|(?:milli|kilo)?grams?|pounds?|ounces?|tons?|m[lL]|lit(?:er|re)s?|gallons?"
    r"|seconds?|sec|minutes?|hours?|hrs?|days?|weeks?|months?|years?"
    r"|mph|(?:km|mi|miles|feet|meters)(?:/| *per *)(?:h|hr|hour|s|second))"
)
# Hours of the day are told apart by a.m. and p.m.: no unit.
_UNITS = re.compile(
    rf"(?:(?:[/\s]*{_TEXT}\s*\{{(?!\s*[aApP]\.?[mM]\b)[^{{}}]*\}}{_EXPONENT})+"
    rf"|(?<=[\d}}])\s*{_UNIT_WORDS}{_EXPONENT})\.?$"
)

_CHARACTERS = str.maketrans(
    {
        "\u2212": "-",
        "\u2013": "-",
        "\u00d7": r"\times ",
        "\u00b7": r"\cdot ",
        "\u00f7": "/",
        "\u03c0": r"\pi ",
        "\u221a": r"\sqrt ",
        "\u221e": r"\infty ",
        "\u00b1": r"\pm ",
        "\u2264": r"\le ",
        "\u2265": r"\ge ",
        "\u222a": r"\cup ",
        "\u2208": r"\in ",
        "\u00b0": "",
        "\u00b2": "^2",
        "\u00b3": "^3",
        "\u00a0": " ",
    }
)

_ARGUMENT = r"\s*(?:\{([^{}]*)\}|(\w|\\pi(?![A-Za-z])))"
_REWRITES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\?\$|\\?%", ""),
        (r"^\s*\\[(\[]|\\[)\]]\s*$", ""),
        # Separators of thousands that no list can contain.
        (r"(?<=\d)(?:\{,\}|,\\!|\\,|\\ )\s*(?=\d{3})", ""),
        (r"(?<!\\)\\(?:[!,;:>\s]|(?:q?quad|displaystyle|limits)(?![A-Za-z]))|~", " "),
        (r"\\(?:left|right)\s*\.", ""),
        (r"\\(?:left|right|middle|[bB]igg?[lrm]?)(?![A-Za-z])", ""),
        (r"\\l(?:vert|Vert)(?![A-Za-z])|\\r[vV]ert(?![A-Za-z])", "|"),
        (r"\\(?:lbrace)(?![A-Za-z])", r"\\{"),
        (r"\\(?:rbrace)(?![A-Za-z])", r"\\}"),
        (r"\^\s*\{?\s*\\circ\s*\}?|\\degree(?![A-Za-z])", ""),
        (r"\\(?:boldsymbol|mathbf|bm)\s*\{([^{}]*)\}", r"\1"),
        (rf"{_TEXT}\s*\{{\s*([ie])\s*\}}", r"\1"),
        (rf",?\s*{_TEXT}\s*\{{\s*,?\s*(?:and|or)\s*\}}\s*", ", "),
        (r",?\s+(?:and|or)\s+", ", "),
        (r"\\[dtc](frac|binom)(?![A-Za-z])", r"\\\1"),
        (rf"\\(frac|binom){_ARGUMENT}{_ARGUMENT}", r"\\\1{\2\3}{\4\5}"),
        (r"(?<![\\A-Za-z])sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        (
            r"(?<![\\A-Za-z])(pi|sqrt|sin|cos|tan|cot|sec|csc|log|ln)(?![A-Za-z])",
            r"\\\1",
        ),
        (r"\\sqrt\s*(\d+|[A-Za-z])", r"\\sqrt{\1}"),
        (rf"_\s*\{{\s*{_TEXT}\s*\{{([^{{}}]*)\}}\s*\}}", r"_{\1}"),
        (r"([_^])\s*\{\s*(\w)\s*\}", r"\1\2"),
        (r"\\(le|ge|ne)q(?:slant)?(?![A-Za-z])", r"\\\1"),
        (r"\\lt(?![A-Za-z])", "<"),
        (r"\\gt(?![A-Za-z])", ">"),
        (r"<=", r"\\le "),
        (r">=", r"\\ge "),
        # Spaces mean something between two letters and between two digits only.
        (r"(?<![A-Za-z])\s+(?=[A-Za-z])|(?<=[A-Za-z])\s+(?![A-Za-z])", ""),
        (r"(?<!\w)\s+|\s+(?!\w)", ""),
        (r"\s+", " "),
    )
)

_DECIMAL = r"(?:\d+\.?\d*|\.\d+)"
_THOUSANDS = re.compile(r"\d{1,3}(?:(?:,\d{3})+|(?: \d{3})+)(?:\.\d*)?")
_SCALAR = re.compile(
    rf"({_DECIMAL})(?:(?:\\times|\\cdot|\*)10\^\{{?([+-]?\d{{1,3}})\}}?)?"
)
_FRAC = re.compile(rf"(\d*) ?\\frac\{{([+-]?{_DECIMAL})\}}\{{([+-]?{_DECIMAL})\}}")
_SLASH = re.compile(rf"(?:(\d+) )?({_DECIMAL})/({_DECIMAL})")


def normalise(answer: str) -> str:
    r"""Return one spelling for what LaTeX spells in many ways, with less space."""
    text = answer.translate(_CHARACTERS)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return text.strip("* ").rstrip(".,;: ")


def without_units(text: str) -> str:
    r"""Drop the unit after a value; what has no value stays, as `\text{east}` does."""
    rest = _UNITS.sub("", text)
    return rest if re.search(r"[\d\\]", rest) else text


def unwrap_text(text: str) -> str | None:
    r"""Return the content of `\text{...}` if that is all there is, else None."""
    match = _TEXT_GROUP.fullmatch(text)
    return match[1] if match else None


def has_text(text: str) -> bool:
    r"""Tell whether words in `\text{...}` are part of an answer."""
    return _TEXT_GROUP.search(text) is not None


def split(text: str, separators: AbstractSet[str]) -> list[str]:
    """Cut at the separators that no bracket encloses; drop what is empty."""
    parts, depth = [""], 0
    for token in _TOKEN.findall(text):
        depth += (token in _OPENERS) - (token in _CLOSERS)
        if depth == 0 and token in separators:
            parts.append("")
        else:
            parts[-1] += token
    return [part.strip() for part in parts if part.strip()]


def brackets(text: str) -> tuple[str, str, str] | None:
    """Return opener, content and closer if one pair of brackets encloses it all."""
    tokens = _TOKEN.findall(text)
    depth = 0
    for position, token in enumerate(tokens, start=1):
        depth += (token in _OPENERS) - (token in _CLOSERS)
        if depth == 0 and position < len(tokens):
            return None
    if depth or not tokens or tokens[0] not in _OPENERS - {r"\begin"}:
        return None
    return tokens[0], "".join(tokens[1:-1]), tokens[-1]


def number(text: str) -> Fraction | None:
    r"""Read a number exactly; None if the text is anything else.

    Integers, decimals, `1,000`, `a/b`, `\frac{a}{b}`, `a\times10^b` and the mixed
    number `1\frac{a}{b}` are read.
    """
    digits = text.lstrip("+-")
    sign = -1 if text[: -len(digits)].count("-") % 2 else 1
    if _THOUSANDS.fullmatch(digits):
        digits = digits.replace(",", "").replace(" ", "")
    if match := _SCALAR.fullmatch(digits):
        return sign * Fraction(match[1]) * Fraction(10) ** int(match[2] or 0)
    match = _FRAC.fullmatch(digits) or _SLASH.fullmatch(digits)
    if match is None or not Fraction(match[3]):
        return None
    return sign * (Fraction(match[1] or 0) + Fraction(match[2]) / Fraction(match[3]))
