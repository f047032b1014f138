"""A strategy of your own: beam search in which siblings do not crowd out the others.

Of the steps that continue the same one, only the best can be kept, so that a beam which
looks good early cannot take all places. The function below is all that it takes; the
rest of the search is the package's. Try it with

    python -m examples.my_strategy

or on the command line, where a strategy is also named by its module:

    langchain-tts solve "What is 12*7+5?" --strategy examples.my_strategy:strategy
"""

from __future__ import annotations

from collections.abc import Sequence

from langchain_tts import (
    Candidate,
    Selection,
    TTSChatModel,
    register_strategy,
    step_strategy,
)
from langchain_tts.search.select import beam_count, rank

QUESTION = "What is 12*7+5?"


def only_children(
    tree: Sequence[Candidate], proposed: Sequence[int], places: int, width: int
) -> Selection:
    """Keep the best child of each step, as many as beam search would keep."""
    families: dict[int, int] = {}
    for step in rank(tree, proposed):
        parent = tree[step]["parent"]
        families.setdefault(step if parent is None else parent, step)
    kept = list(families.values())[: beam_count(places, width)]
    return Selection(kept, [step for step in proposed if step not in kept])


strategy = register_strategy(
    step_strategy(
        "only_children", "beam search with one child of each beam", only_children
    )
)


def main() -> int:
    """Answer a question with it."""
    model = TTSChatModel(strategy="only_children", budget=16, seed=0)
    message = model.invoke(QUESTION)
    search = message.response_metadata["tts"]
    print(message.text)
    print(f"\n{search['strategy']} spent {search['spent']}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
