"""An object instead of a text: candidates are objects, and the vote is over objects.

Run it with `python -m examples.structured_output`. It needs no network and no GPU.

The small policy in this package has learned a single tool, a calculator, so the object
here is a call of it: what is to be worked out first. With a model that knows more (see
`real_models.md`) the schema can be any pydantic class, and nothing else changes.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

from langchain_tts import TTSChatModel
from langchain_tts.tinymath.calculator import calculate

STAMPS = (
    "Tom has 48 stamps. Tom gives away 19. Then Tom has 4 times as many. "
    "Tom finds 37. How many stamps does Tom have now?"
)
QUESTIONS = ("What is 12*7+5?", "What is 15% of 80?", STAMPS)
SHOPPING = (
    "Max buys 11 hats at 12 dollars each, 3 lamps at 35 dollars each and 5 bags at "
    "55 dollars each, with a coupon of 6 dollars. What is to pay?"
)


class Calculation(BaseModel):
    """Work out an arithmetic expression, for example 12*7."""

    # What the policy calls it; without this the tool would have the class's name.
    model_config = ConfigDict(title="calculator")

    expression: str


def main() -> None:
    """Get objects, look at the vote behind one, and get several at once."""
    # Every candidate is an object or does not count: what is no JSON, or does not fit
    # the schema, never wins while another does.
    model = TTSChatModel(strategy="majority_vote", prm=None, budget=8, seed=0)

    print("Questions in, objects out:")
    first_step = model.with_structured_output(Calculation)
    for question, found in zip(QUESTIONS, first_step.batch([*QUESTIONS]), strict=True):
        print(f"  {found!r}  {question[:40]}")

    # At a high temperature the candidates disagree, and some are broken.
    print("\nThe vote behind an object:")
    careless = model.with_structured_output(
        Calculation, include_raw=True, temperature=1.8, budget=32
    )
    result: Any = careless.invoke(STAMPS)
    search = result["raw"].response_metadata["tts"]
    for row in search["votes"][:4]:
        print(f"  {row['count']:>3}  {row['answer']}")
    for note in search["degradations"]:
        print(f"       {note}")
    print("  so it is", repr(result["parsed"]))

    # A turn may call a tool several times; the vote is then over all its calls.
    print("\nSeveral objects in one turn:")
    message = model.bind_tools([Calculation], tool_choice="any").invoke(SHOPPING)
    for call in message.tool_calls:
        expression = call["args"]["expression"]
        print(f"  {expression} = {calculate(expression)}")


if __name__ == "__main__":
    main()
