"""A first answer that was searched for, and what its message tells about the search.

Run it with `python -m examples.quickstart`. It needs no network and no GPU: the policy
(the small language model that proposes) and the verifier ship with the package.
"""

from langchain_tts import TTSChatModel

QUESTION = "What is (20+63)*4+65+85-78?"  # 404


def main() -> None:
    """Ask the same question without and with a search."""
    # One answer, each word the most likely one: how a language model is mostly used.
    greedy = TTSChatModel(strategy="greedy")
    print("Without a search:")
    print(greedy.invoke(QUESTION).text)

    # The same policy, but it proposes 16 steps at a time; the verifier scores them, and
    # only the best are continued. A seed makes it repeatable.
    model = TTSChatModel(strategy="beam_search", budget=16, seed=0)
    answer = model.invoke(QUESTION)
    print("\nWith a search:")
    print(answer.text)

    # It is an ordinary message. What happened behind it stands in its metadata.
    search = answer.response_metadata["tts"]
    spent = search["spent"]
    print("\nThe answer alone:", search["answer"])
    print("Candidates for each answer:")
    for row in search["votes"]:
        print(f"  {row['answer']:>6}  {row['count']} of them")
    print(
        f"Spent: {spent['samples']:.0f} candidates, "
        f"{spent['generated_tokens']:.0f} tokens written, "
        f"{spent['prm_tokens']:.0f} tokens read by the verifier, "
        f"{search['seconds']:.1f} s; ended because: {search['stop_reason']}"
    )


if __name__ == "__main__":
    main()
