"""`python -m langchain_tts` is `langchain-tts`."""

from langchain_tts.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
