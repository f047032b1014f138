from __future__ import annotations

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_tts._chat.messages import MessageError, to_messages


def test_each_kind_of_message_gets_its_role() -> None:
    messages: list[BaseMessage] = [
        SystemMessage("s"),
        HumanMessage("h"),
        AIMessage("a"),
        ToolMessage("t", tool_call_id="1"),
        ChatMessage(role="user", content="c"),
    ]
    assert to_messages(messages) == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "h"},
        {"role": "assistant", "content": "a"},
        {"role": "tool", "content": "t", "tool_call_id": "1"},
        {"role": "user", "content": "c"},
    ]


def test_neighbours_of_one_role_are_merged_but_tool_results_stay_apart() -> None:
    messages: list[BaseMessage] = [
        HumanMessage("one"),
        HumanMessage("two"),
        ToolMessage("3", tool_call_id="a"),
        ToolMessage("4", tool_call_id="b"),
    ]
    assert to_messages(messages) == [
        {"role": "user", "content": "one\n\ntwo"},
        {"role": "tool", "content": "3", "tool_call_id": "a"},
        {"role": "tool", "content": "4", "tool_call_id": "b"},
    ]


def test_text_blocks_are_joined() -> None:
    content: list[str | dict[str, str]] = [{"type": "text", "text": "1+"}, "1"]
    assert to_messages([HumanMessage(content)]) == [{"role": "user", "content": "1+1"}]


def test_an_image_is_refused_by_its_type() -> None:
    image = HumanMessage([{"type": "image", "url": "http://x/y.png"}])
    with pytest.raises(MessageError, match=r"message 1 .* type 'image'.*text only"):
        to_messages([SystemMessage("s"), image])


def test_tool_calls_keep_their_arguments_and_stay_apart() -> None:
    call = AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1}, "id": "1"}])
    assert to_messages([AIMessage("I add."), call]) == [
        {"role": "assistant", "content": "I add."},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"name": "add", "arguments": {"a": 1}, "id": "1"}],
        },
    ]


def test_results_in_a_users_message_are_a_tools() -> None:
    result = {"type": "tool_result", "tool_use_id": "1", "content": "sunny"}
    blocks = {**result, "content": [{"type": "text", "text": "warm"}]}
    messages: list[BaseMessage] = [
        HumanMessage([result, blocks]),
        HumanMessage([result, {"type": "text", "text": "Thanks?"}]),
    ]
    tool = {"role": "tool", "tool_call_id": "1"}
    assert to_messages(messages) == [
        {**tool, "content": "sunny"},
        {**tool, "content": "warm"},
        {**tool, "content": "sunny"},
        {"role": "user", "content": "Thanks?"},
    ]


def test_a_tools_data_is_read_as_json_and_its_images_not_at_all() -> None:
    data = ToolMessage([{"unit": "°C", "type": "custom"}], tool_call_id="1")
    assert to_messages([data])[0]["content"] == '{"unit": "°C", "type": "custom"}'
    for kind in ("image", "image_url", "input_audio", "video", "file", "document"):
        media = ToolMessage([{"type": kind}], tool_call_id="1")
        with pytest.raises(MessageError, match=f"message 0 .* type '{kind}'"):
            to_messages([media])


@pytest.mark.parametrize(
    "message",
    [ChatMessage(role="judge", content="x"), FunctionMessage(name="f", content="x")],
)
def test_an_unknown_role_is_refused(message: BaseMessage) -> None:
    with pytest.raises(MessageError, match="message 0 has the role"):
        to_messages([message])
