"""A cascade: the smallest policy answers, larger ones only where it is unsure.

Run it with `python -m examples.cascade`. It needs no network and no GPU.

Each policy has a share of the budget, and tells by its votes or scores how sure it is.
Below `defer_below` the next one is asked. So easy questions are cheap, and hard ones
cost no more than the budget allows.
"""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage
from rich.console import Console
from rich.table import Table

from langchain_tts import TTSChatModel
from langchain_tts.answers import grade
from langchain_tts.evaluation.datasets import Question, load_dataset

LARGER = ["tinymath", "tinymath-large"]

SETTINGS: dict[str, dict[str, Any]] = {
    "large alone": {"policy": "tinymath-large", "strategy": "best_of_n", "budget": 4},
    "cascade of two": {
        "policy": "tinymath",
        "strategy": "cascade",
        "budget": 8,
        "parameters": {"cascade": LARGER[1:], "defer_below": 0.9},
    },
    # The smallest policy is right on so few questions that asking it does not pay.
    "cascade of three": {
        "policy": "tinymath-small",
        "strategy": "cascade",
        "budget": 12,
        "parameters": {"cascade": LARGER, "defer_below": 0.9},
    },
}


def row(name: str, questions: list[Question], messages: list[AIMessage]) -> list[str]:
    """How many answers are right, what one costs, and who gave them."""
    searches = [message.response_metadata["tts"] for message in messages]
    right = sum(
        grade(search["answer"], question.answer)
        for question, search in zip(questions, searches, strict=True)
    )
    spent = [search["spent"] for search in searches]
    flops = sum(one["policy_flops"] + one["prm_flops"] for one in spent)
    names = [search["route"]["answered_by"] for search in searches if "route" in search]
    who = ", ".join(f"{names.count(one)} {one}" for one in dict.fromkeys(sorted(names)))
    each = f"{flops / len(searches) / 1e6:,.0f}"
    return [name, f"{right} of {len(searches)}", each, who]


def main() -> None:
    """Ask 30 questions with each setting, and draw a table."""
    questions = load_dataset("tinymath", split="test", limit=30)
    table = Table(title="30 questions of five levels", title_justify="left")
    for head in ("setting", "right", "MFLOP each", "answered by"):
        table.add_column(head)
    for seed, (name, settings) in enumerate(SETTINGS.items()):
        # Samples that were scored before cost nothing, so each setting has its own.
        model = TTSChatModel(seed=seed, **settings)
        messages = model.batch([question.text for question in questions])
        table.add_row(*row(name, questions, messages))
    Console(width=100).print(table)

    # What a search tells about its way: whom it asked, and how sure each one was.
    model = TTSChatModel(seed=0, **SETTINGS["cascade of three"])
    for text in ("What is 12*7+5?", "What is (20+63)*4+65+85-78?"):
        route = model.invoke(text).response_metadata["tts"]["route"]
        pairs = zip(route["policies"], route["confidences"], strict=True)
        print(text, " -> ".join(f"{name} ({sure:.2f})" for name, sure in pairs))


if __name__ == "__main__":
    main()
