"""Chains with a model that searches: it goes wherever a chat model goes.

Run it with `python -m examples.lcel_chain`. It needs no network and no GPU.
"""

from __future__ import annotations

import time
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnableParallel

from langchain_tts import TTSChatModel

PROMPT = ChatPromptTemplate.from_template("What is {task}?")


def answer_of(message: AIMessage) -> str | None:
    """The final answer alone, as the search found it."""
    answer: str | None = message.response_metadata["tts"]["answer"]
    return answer


def agreement(message: AIMessage) -> float:
    """The share of the candidates that say the same as the answer."""
    search = message.response_metadata["tts"]
    counts: dict[str, int] = {row["answer"]: row["count"] for row in search["votes"]}
    return counts.get(search["answer"], 0) / max(1, sum(counts.values()))


def main() -> None:
    """Run four chains."""
    model = TTSChatModel(budget=16, seed=0)

    print("1. A prompt, the model, a parser:")
    chain = PROMPT | model | StrOutputParser()
    print(chain.invoke({"task": "12*7+5"}))

    print("\n2. One input, three ways to answer it, side by side:")
    ways = RunnableParallel(
        greedy=PROMPT | model.bind(strategy="greedy") | answer_of,
        vote=PROMPT | model.bind(strategy="majority_vote") | answer_of,
        search=PROMPT | model | answer_of,
    )
    print(ways.invoke({"task": "(20+63)*4+65+85-78"}), "and 404 is right")

    print("\n3. Sixteen inputs at once share the batches of the engine:")
    tasks: list[dict[str, Any]] = [{"task": f"{n}*7+5"} for n in range(11, 27)]
    started = time.perf_counter()
    answers = (PROMPT | model | answer_of).batch(tasks)
    right = sum(
        a == str(n * 7 + 5) for a, n in zip(answers, range(11, 27), strict=True)
    )
    print(f"{right} of 16 right, in {time.perf_counter() - started:.1f} s")

    print("\n4. A cheap vote first; a search only where the candidates disagree:")
    cheap = PROMPT | model.bind(strategy="majority_vote", budget=4)

    def escalate(task: dict[str, Any]) -> str:
        first = cheap.invoke(task)
        if agreement(first) > 0.5:  # noqa: PLR2004 (a majority)
            return f"{answer_of(first)} (all but certain)"
        # What a lambda runs belongs to the same trace, and shares its configuration.
        return f"{answer_of((PROMPT | model).invoke(task))} (searched)"

    cascade = RunnableLambda(escalate)
    for task in ("12*7+5", "48+19", "(20+63)*4+65+85-78"):
        print(f"{task:>20} = {cascade.invoke({'task': task})}")


if __name__ == "__main__":
    main()
