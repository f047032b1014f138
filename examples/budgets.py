"""The same question with several budgets and strategies, chosen while a program runs.

Run it with `python -m examples.budgets`. It needs no network and no GPU.

A budget is a ceiling over a whole search: N candidates, generated tokens, FLOPs of
policy and verifier, seconds, or any mix of them. Whatever limit is reached first ends
the search, which then answers with the best it has.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from rich.console import Console
from rich.table import Table

from langchain_tts import Budget, TTSChatModel

QUESTION = "What is (20+63)*4+65+85-78?"
RIGHT = "404"


def row(setting: str, message: AIMessage) -> list[str]:
    """What a search answered, what it spent, and why it ended."""
    search = message.response_metadata["tts"]
    # What was not spent at all is not in it.
    spent = defaultdict(float, search["spent"])
    flops = spent["policy_flops"] + spent["prm_flops"]
    return [
        setting,
        search["strategy"],
        f"{search['answer']}{' *' if search['answer'] == RIGHT else ''}",
        f"{spent['samples']:.0f}",
        f"{spent['generated_tokens']:,.0f}",
        f"{flops / 1e6:,.0f}",
        f"{search['seconds']:.2f}",
        search["stop_reason"],
    ]


def main() -> None:
    """Ask with one setting after the other, and draw a table."""
    # One model; everything below is one call of it with other settings.
    model = TTSChatModel(strategy="beam_search", budget=16, seed=0)
    model.invoke("What is 1+1?")  # loads the weights, so that seconds are comparable

    table = Table(title=f"{QUESTION}   (* right: {RIGHT})", title_justify="left")
    for head in ("setting", "strategy", "answer", "N", "tokens", "MFLOP", "s"):
        table.add_column(head)
    table.add_column("ended by")

    # As an argument of one call:
    table.add_row(*row("as it is", model.invoke(QUESTION)))
    for budget in (1, 4, 64):
        table.add_row(*row(f"budget={budget}", model.invoke(QUESTION, budget=budget)))
    for strategy in ("greedy", "majority_vote", "best_of_n", "dvts"):
        # Bound to the model, as one binds tools:
        bound = model.bind(strategy=strategy, budget=16)
        table.add_row(*row(f'strategy="{strategy}"', bound.invoke(QUESTION)))

    # Limits of other kinds, alone or together:
    limits: dict[str, Any] = {
        "tokens=300": Budget(samples=64, tokens=300),
        "flops=3e8": Budget(samples=64, flops=3e8),
        "tokens=2000, seconds=5": Budget(samples=64, tokens=2000, seconds=5),
    }
    for name, limit in limits.items():
        table.add_row(*row(name, model.invoke(QUESTION, budget=limit)))
    patient = model.bind(strategy="mcts", budget=Budget(samples=256, seconds=1.0))
    table.add_row(*row("seconds=1", patient.invoke(QUESTION)))
    Console(width=100).print(table)

    # Whoever calls a chain, an agent or a graph around the model may choose, too: the
    # configuration reaches the model, however deep it lies inside.
    chain = ChatPromptTemplate.from_template("What is {task}?") | model
    cheap = chain.with_config(configurable={"budget": 4, "strategy": "best_of_n"})
    search = cheap.invoke({"task": "12*7+5"}).response_metadata["tts"]
    print("\nOf a chain's configuration:", search["strategy"], search["budget"])

    # And a whole chain may be given a time: this is the model's, whatever it is told.
    quick = chain | StrOutputParser()
    answer = quick.invoke(
        {"task": "15% of 80"}, {"configurable": {"timeout": 2.0, "budget": 256}}
    )
    print("In two seconds at most:", answer.splitlines()[-1])


if __name__ == "__main__":
    main()
