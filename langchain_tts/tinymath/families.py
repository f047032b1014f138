"""Seven families of word problems and expressions, each with a worked solution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_tts.tinymath.problem import SYMBOLS, Quantity, Working

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    Family = Callable[[random.Random, int, int, Working], str]

_NAMES = ("Ana", "Tom", "Mia", "Ben", "Eva", "Sam", "Lea", "Max")
_THINGS = ("apples", "coins", "cards", "books", "stamps", "shells")
_GOODS = ("pens", "bags", "cups", "hats", "lamps", "toys", "maps", "balls")
_SMALL = 12
"""Largest factor and divisor."""
_OPERAND = 99
"""Largest operand of + and -."""


class Infeasible(Exception):  # noqa: N818 (a signal to draw again, not an error)
    """This draw cannot be completed; draw again."""


def _operand(rng: random.Random, value: int, cap: int, symbol: str) -> int | None:
    """A random right operand that keeps the result in [1, cap]."""
    if symbol == "+":
        high = min(_OPERAND, cap - value)
    elif symbol == "-":
        high = min(_OPERAND, value - 1)
    elif symbol == "*":
        high = min(_SMALL, cap // value)
    else:
        divisors = [d for d in range(2, _SMALL + 1) if value % d == 0]
        return rng.choice(divisors) if divisors else None
    return rng.randint(2, high) if high >= 2 else None  # noqa: PLR2004


def _step(
    rng: random.Random, work: Working, total: Quantity, cap: int
) -> tuple[Quantity, str, int]:
    """Apply one random feasible operation to `total`."""
    for symbol in rng.sample(SYMBOLS, len(SYMBOLS)):
        number = _operand(rng, total.value, cap, symbol)
        if number is not None:
            return work.apply(symbol, total, number), symbol, number
    raise Infeasible


def _start(rng: random.Random, cap: int) -> Quantity:
    return Quantity(rng.randint(2, min(_OPERAND, cap)))


_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2}


def expression(rng: random.Random, count: int, cap: int, work: Working) -> str:
    """A nested arithmetic expression."""
    spaced = rng.random() < 0.3  # noqa: PLR2004

    def build(size: int) -> tuple[Quantity, str, int]:
        if size == 0:
            leaf = _start(rng, cap)
            return leaf, str(leaf.value), 3
        right_size = rng.choice((0, 0, 0, rng.randrange(size)))
        left, left_text, left_rank = build(size - 1 - right_size)
        if right_size == 0:
            total, symbol, number = _step(rng, work, left, cap)
            right_text, right_rank = str(number), 3
        else:
            right, right_text, right_rank = build(right_size)
            for symbol in rng.sample("+-*", 3):
                value = {
                    "+": left.value + right.value,
                    "-": left.value - right.value,
                    "*": left.value * right.value,
                }[symbol]
                small = symbol != "*" or min(left.value, right.value) <= _SMALL
                if 1 <= value <= cap and small:
                    total = work.apply(symbol, left, right)
                    break
            else:
                raise Infeasible
        rank = _PRECEDENCE[symbol]
        if left_rank < rank:
            left_text = f"({left_text})"
        if right_rank <= rank:
            right_text = f"({right_text})"
        gap = " " if spaced else ""
        return total, f"{left_text}{gap}{symbol}{gap}{right_text}", rank

    _, text, _ = build(count)
    frame = rng.choice(
        ("What is {}?", "Compute {}.", "Calculate {}.", "Evaluate {}.", "{}=?", "{}")
    )
    return frame.format(text)


def running_total(rng: random.Random, count: int, cap: int, work: Working) -> str:
    """A story in which one number changes again and again."""
    name, thing = rng.choice(_NAMES), rng.choice(_THINGS)
    total = _start(rng, cap)
    sentences = [f"{name} has {total.value} {thing}."]
    phrases = {
        "+": ("{n} gets {x} more.", "{n} finds {x}.", "{n} buys {x} more."),
        "-": ("{n} loses {x}.", "{n} gives away {x}.", "{n} sells {x}."),
        "*": ("Then {n} has {x} times as many.", "The number is multiplied by {x}."),
        "/": ("{n} splits them into {x} equal parts and keeps one.",),
    }
    for _ in range(count):
        total, symbol, number = _step(rng, work, total, cap)
        sentences.append(rng.choice(phrases[symbol]).format(n=name, x=number))
    if rng.random() < 0.2:  # noqa: PLR2004
        aside = f"{rng.choice(_NAMES)} is {rng.randint(5, 60)} years old."
        sentences.insert(rng.randint(1, len(sentences)), aside)
    sentences.append(f"How many {thing} does {name} have now?")
    return " ".join(sentences)


def _products(
    rng: random.Random, count: int, cap: int, work: Working
) -> tuple[list[tuple[int, int]], Quantity]:
    """`(count + 1) // 2` products and their running sum."""
    pairs: list[tuple[int, int]] = []
    products: list[Quantity] = []
    number = (count + 1) // 2
    room = cap // number
    for _ in range(number):
        first = rng.randint(2, min(_SMALL, room // 2))
        second = rng.randint(2, min(_OPERAND, room // first))
        pairs.append((first, second))
        products.append(work.apply("*", Quantity(first), second))
    total = products[0]
    for product in products[1:]:
        total = work.apply("+", total, product)
    return pairs, total


def shopping(rng: random.Random, count: int, cap: int, work: Working) -> str:
    """A shopping trip: prices times amounts, and perhaps the change."""
    pairs, total = _products(rng, count, cap, work)
    name = rng.choice(_NAMES)
    goods = rng.sample(_GOODS, len(pairs))
    items = [
        f"{amount} {good} at {price} dollars each"
        for (amount, price), good in zip(pairs, goods, strict=True)
    ]
    listed = " and ".join(filter(None, (", ".join(items[:-1]), items[-1])))
    if count % 2:
        return f"{name} buys {listed}. How many dollars is that in all?"
    if rng.random() < 0.5 and total.value > 2:  # noqa: PLR2004
        less = rng.randint(2, min(_OPERAND, total.value - 1))
        work.apply("-", total, less)
        return f"{name} buys {listed}, with a coupon of {less} dollars. What is to pay?"
    paid = Quantity(total.value + rng.randint(1, _OPERAND))
    work.apply("-", paid, total)
    return (
        f"{name} buys {listed} and pays with {paid.value} dollars. What is the change?"
    )


def rate(rng: random.Random, count: int, cap: int, work: Working) -> str:
    """Work at several rates, and perhaps a loss or a fair share at the end."""
    pairs, total = _products(rng, count, cap, work)
    unit, verb = rng.choice((("liters", "A pump moves"), ("parts", "A machine makes")))
    parts = [f"{amount} {unit} an hour for {hours} hours" for hours, amount in pairs]
    text = f"{verb} {', then '.join(parts)}."
    if count % 2:
        return f"{text} How many {unit} is that in all?"
    share = _operand(rng, total.value, cap, "/")
    if share is not None:
        work.apply("/", total, share)
        return (
            f"{text} They are shared by {share} towns. How many {unit} does each get?"
        )
    lost = _operand(rng, total.value, cap, "-")
    if lost is None:
        raise Infeasible
    work.apply("-", total, lost)
    return f"{text} Then {lost} {unit} are lost. How many {unit} are left?"


_INVERSE = {"+": "-", "-": "+", "*": "/", "/": "*"}


def equation(rng: random.Random, count: int, cap: int, work: Working) -> str:
    """An equation in x, undone from the outside."""
    # Drawn forward from the solution, then undone in reverse.
    value = rng.randint(2, min(_OPERAND, cap))
    text, rank = "x", 3
    done: list[tuple[str, int]] = []
    scratch = Working()
    total = Quantity(value)
    for _ in range(count):
        total, symbol, number = _step(rng, scratch, total, cap)
        if rank < _PRECEDENCE[symbol]:
            text = f"({text})"
        text, rank = f"{text}{symbol}{number}", _PRECEDENCE[symbol]
        done.append((symbol, number))
    question = f"{text}={total.value}"
    unknown = Quantity(total.value)
    for symbol, number in reversed(done):
        unknown = work.apply(_INVERSE[symbol], unknown, number)
    frame = rng.choice(("Solve for x: {}", "Find x: {}", "{}, what is x?"))
    return frame.format(question)


def percentage(rng: random.Random, count: int, cap: int, work: Working) -> str:
    """A price that is raised and cut by percentages."""
    if count < 2:  # noqa: PLR2004
        raise Infeasible
    if count == 2:  # noqa: PLR2004
        percent = rng.choice((5, 10, 15, 20, 25, 30, 40, 50, 60, 75, 80))
        whole = _whole(rng, percent, cap)
        product = work.apply("*", Quantity(whole), percent)
        work.apply("/", product, 100)
        return f"What is {percent}% of {whole}?"
    total = Quantity(rng.randrange(20, min(cap, 600) + 1, 20))
    sentences = [f"The price of a chair is {total.value} dollars."]
    left = count
    while left:
        percents = [p for p in range(5, 65, 5) if total.value * p % 100 == 0]
        if left >= 3 and percents:  # noqa: PLR2004
            percent = rng.choice(percents)
            part = work.apply("/", work.apply("*", total, percent), 100)
            rise = total.value + part.value <= cap and rng.random() < 0.5  # noqa: PLR2004
            total = work.apply("+" if rise else "-", total, part)
            sentences.append(f"It {'rises' if rise else 'falls'} by {percent}%.")
            left -= 3
            continue
        symbol = rng.choice("+-")
        number = _operand(rng, total.value, cap, symbol)
        if number is None:
            raise Infeasible
        total = work.apply(symbol, total, number)
        verb = "rises" if symbol == "+" else "falls"
        sentences.append(f"It {verb} by {number} dollars.")
        left -= 1
    return " ".join([*sentences, "What is the price now?"])


def _whole(rng: random.Random, percent: int, cap: int) -> int:
    wholes = [w for w in range(10, max(cap, 100) + 1) if w * percent % 100 == 0]
    return rng.choice(wholes)


def sequence(rng: random.Random, count: int, cap: int, work: Working) -> str:
    """A sequence whose next term follows from the one before."""
    total = Quantity(rng.randint(2, 40))
    first = total.value
    if count % 2 or rng.random() < 0.3:  # noqa: PLR2004
        gap = rng.randint(2, _OPERAND)
        rule = f"{gap} more than"
        terms = count
        changes = [("+", gap)]
    else:
        factor, number = rng.randint(2, 4), rng.randint(2, 40)
        symbol = rng.choice("+-")
        rule = f"{factor} times the one before, {'plus' if symbol == '+' else 'minus'}"
        terms = count // 2
        changes = [("*", factor), (symbol, number)]
    for _ in range(terms):
        for symbol, number in changes:
            total = work.apply(symbol, total, number)
            if total.value > cap:
                raise Infeasible
    if len(changes) == 1:
        text = f"each next term is {rule} the one before"
    else:
        text = f"each next term is {rule} {changes[1][1]}"
    return f"A sequence starts at {first} and {text}. What is term {terms + 1}?"


FAMILIES: dict[str, tuple[Family, float]] = {
    "expression": (expression, 0.27),
    "running_total": (running_total, 0.18),
    "shopping": (shopping, 0.13),
    "equation": (equation, 0.17),
    "percentage": (percentage, 0.10),
    "sequence": (sequence, 0.08),
    "rate": (rate, 0.07),
}
"""Family and its share of the problems."""
