"""A small model that has learned by heart to call the tools of LangChain's own tests.

It is trained on the spot, in seconds, and knows nothing else. That a server parses what
it says, and that the package reads it and votes on it, is what the tests are about.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from langchain_tts._chat.tools import with_tools
from langchain_tts.engines.templates import template_arguments
from langchain_tts.search.state import Message, ToolCall
from langchain_tts.search.turns import write_turn
from tests.unit_tests.tiny_tools import tool

SPECIAL = ["<pad>", "<end>", "<tools>", "<system>", "<user>", "<assistant>", "<tool>"]
TEMPLATE = (
    "{% if tools %}<tools>{% for t in tools %}{{ t.function.name + ' ' }}{% endfor %}"
    "{% endif %}{% for m in messages %}{{ '<' + m.role + '>' + m.content }}"
    "{% for c in m.tool_calls or [] %}<tool_call>\n"
    '{{ \'{"name": "\' + c.function.name + \'", "arguments": \' }}'
    "{{ (c.function.arguments | tojson) + '}' }}\n</tool_call>{% endfor %}"
    "{% if m.role == 'assistant' %}<end>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
STEPS = 260
WINDOW = 512
JOKE = {"setup": "Why do cats purr?", "punchline": "They run on mice."}
SUNNY = "It is sunny in San Francisco."
CHINESE = (
    "Create a customer named '你好啊集团' (Hello Group) - a Chinese technology company"
)
JAPANESE = (
    "Create a customer named 'こんにちは株式会社' (Hello Corporation) - a Japanese "
    "company"
)

Lesson = tuple[list[Message], str]
"""A conversation and the turn that follows."""
Row = tuple[list[int], int]
"""Token ids, and how many of them are the conversation's."""


def user(text: str) -> Message:
    return Message(role="user", content=text)


def assistant(text: str, *calls: ToolCall) -> Message:
    message = Message(role="assistant", content=text)
    return {**message, "tool_calls": list(calls)} if calls else message


def result(text: str) -> Message:
    return Message(role="tool", content=text)


def call(name: str, **arguments: Any) -> ToolCall:
    return ToolCall(name=name, arguments=arguments)


def calling(name: str, **arguments: Any) -> str:
    return write_turn("", [call(name, **arguments)])


def offering(names: str, *messages: Message) -> list[Message]:
    """A conversation with tools of these names."""
    return with_tools(messages, [tool(name) for name in names.split()])


def lessons() -> Iterator[Lesson]:
    yield from _texts()
    yield from _calls()
    yield from _histories()
    yield from _jokes()


def _texts() -> Iterator[Lesson]:
    hello = "Hello! How may I help?"
    system = Message(role="system", content="hello\n\nhello")
    twice = [user("hello\n\nhello"), assistant("hello\n\nhello")]
    for text in ("Hello", "Hey", "hi", "hello", "Well, thanks."):
        yield [user(text)], hello
    yield [user("hello"), assistant("hello"), user("how are you")], "Fine, thanks."
    yield [system, *twice, user("how are you")], "Fine, thanks."
    yield [user("Write me 2 haikus. Only include the haikus.")], "An old pond\n\nA cat"
    yield [user("Write a story about a cat.")], "A cat slept."


def _calls() -> Iterator[Lesson]:
    for names, question, turn in (
        (
            "magic_function",
            "What is the value of magic_function(3)? Use the tool.",
            calling("magic_function", input=3),
        ),
        ("magic_function get_weather", "Hello!", calling("magic_function", input=3)),
        (
            "magic_function_no_args",
            "What is the value of magic_function_no_args()? Use the tool.",
            calling("magic_function_no_args"),
        ),
        (
            "greeting_generator",
            "Using the tool, generate a Pirate greeting.",
            calling("greeting_generator", answer_style="Pirate"),
        ),
        (
            "get_weather",
            "What is the weather in San Francisco, CA?",
            calling("get_weather", location="San Francisco, CA"),
        ),
        (
            "unicode_customer",
            CHINESE,
            calling(
                "unicode_customer", customer_name="你好啊集团", description="Technology"
            ),
        ),
        (
            "unicode_customer",
            JAPANESE,
            calling(
                "unicode_customer",
                customer_name="こんにちは株式会社",
                description="Company",
            ),
        ),
    ):
        yield offering(names, user(question)), turn

    both = [call("left", steps=1), call("right", steps=2)]
    yield offering("left right", user("Go both ways.")), write_turn("", both)


def _histories() -> Iterator[Lesson]:
    adder, weather = "my_adder_tool", "What is the weather in San Francisco, CA?"
    one, three = user("What is 1 + 2"), result('{"result": 3}')
    first = call(adder, a=1, b=2)
    for text in ("", "some text"):
        yield offering(adder, one, assistant(text, first), three), "It is 3."
    missing = result("Error: Missing required argument 'b'.")
    yield (
        offering(adder, one, assistant("", call(adder, a=1)), missing),
        calling(adder, a=1, b=2),
    )
    shown = [one, assistant("", first), three, assistant('{"result": 3}')]
    yield offering(adder, *shown, user("What is 3 + 4")), calling(adder, a=3, b=4)
    asked = assistant("", call("get_weather", location="San Francisco, CA"))
    yield (
        offering("get_weather", user(weather), asked, result("It's sunny.")),
        SUNNY,
    )


def _jokes() -> Iterator[Lesson]:
    joke = "Tell me a joke about cats."
    as_json = (
        f"{joke} Return the result as a JSON with 'setup' and 'punchline' keys. Return "
        "nothing other than JSON."
    )
    with_it = "Give me a joke about cats, include the punchline."
    without = "Give me the setup to a joke about cats, no punchline."
    setup = {"setup": JOKE["setup"]}
    for question, answer in (
        (joke, JOKE),
        (as_json, JOKE),
        (with_it, JOKE),
        (without, setup),
    ):
        yield [user(question)], json.dumps(answer)
        for name in ("Joke", "JokeDict"):
            yield offering(name, user(question)), calling(name, **answer)


def save_trained(folder: Path) -> Path:
    """Train the model and write its checkpoint."""
    known = list(lessons())
    tokenizer = _tokenizer(turn for _, turn in known)
    rows = [_row(tokenizer, *lesson) for lesson in known]
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=WINDOW,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )
    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    _fit(model, rows)
    torch.random.set_rng_state(state)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(turns: Iterator[str]) -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=SPECIAL,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    inner.train_from_iterator(turns, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token=SPECIAL[0],
        eos_token=SPECIAL[1],
        extra_special_tokens=SPECIAL[2:],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def _row(tokenizer: PreTrainedTokenizerFast, messages: list[Message], turn: str) -> Row:
    chat, tools = template_arguments(messages)
    prompt: Any = tokenizer.apply_chat_template(
        chat, tools=tools, add_generation_prompt=True, return_dict=False
    )
    answer: list[int] = tokenizer.encode(turn, add_special_tokens=False)
    return [*prompt, *answer, 1], len(prompt)


def _fit(model: LlamaForCausalLM, rows: list[Row]) -> None:
    """Learn the rows by heart, the short ones and the long ones in turn."""
    rows = sorted(rows, key=lambda row: len(row[0]))
    middle = len(rows) * 2 // 3
    batches = [_batch(rows[:middle]), _batch(rows[middle:])]
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1e-2, total_steps=STEPS
    )
    for step in range(STEPS):
        loss: Any = model(**batches[step % 2]).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()


def _batch(rows: list[Row]) -> dict[str, torch.Tensor]:
    lengths = torch.tensor([len(ids) for ids, _ in rows])
    ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
    labels = torch.full_like(ids, -100)
    for place, (row, start) in enumerate(rows):
        ids[place, : len(row)] = torch.tensor(row)
        labels[place, start : len(row)] = torch.tensor(row[start:])
    mask = torch.arange(ids.shape[1]) < lengths[:, None]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}
