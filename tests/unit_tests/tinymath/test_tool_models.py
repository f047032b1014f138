"""The trained tool models: what they say, and whether it is right."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from langchain_tts import resolve_policy, resolve_prm
from langchain_tts.policies.base import GenerationRequest, Policy
from langchain_tts.rewards.base import ScoreRequest
from langchain_tts.rewards.implicit import ImplicitPRM, ModelMismatchError
from langchain_tts.search.state import Message, ToolCall
from langchain_tts.search.turns import TurnRule, read_turn
from langchain_tts.tinymath import WEIGHTS
from langchain_tts.tinymath.calculator import CALCULATOR, calculate
from langchain_tts.tinymath.discrimination import within_problem_auc
from langchain_tts.tinymath.generator import load_split
from langchain_tts.tinymath.problem import STATED_ANSWER
from langchain_tts.tinymath.tokenizer import TOOL_TEMPLATE, TOOL_TOKENS
from langchain_tts.tinymath.tool_turns import ANY_TURN, opening, roll_out_turns

FLOOR = 0.5
"""Of 50 held-out questions answered right by greedy turns; well below what is
measured."""
LAYOUT = (
    '<tool_call>\n{{"name": "calculator", "arguments": {{"expression": "{}"}}}}\n'
    "</tool_call>"
)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return resolve_policy("tinymath-tools")


@pytest.fixture(scope="module")
def prm() -> ImplicitPRM:
    found = resolve_prm("tinymath-tools")
    assert isinstance(found, ImplicitPRM)
    return found


def turn_request(
    messages: list[Message],
    n: int = 1,
    temperature: float = 0.0,
    choice: str = "auto",
) -> GenerationRequest:
    return GenerationRequest(
        messages=messages,
        prefix=[],
        n=n,
        seeds=list(range(n)),
        by_step=False,
        max_tokens=160,
        temperature=temperature,
        deadline=None,
        turn=TurnRule(**{**ANY_TURN, "choice": choice}),
    )


def turns_of(policy: Policy, chats: list[list[Message]]) -> list[str]:
    generations = policy.invoke([turn_request(chat) for chat in chats])
    return [g["samples"][0]["steps"][0]["text"] for g in generations]


def after(messages: list[Message], turn: str) -> list[Message]:
    """A conversation after the calls of a turn, all worked out."""
    calls = [
        ToolCall(**call, id=f"{len(messages)}-{i}")
        for i, call in enumerate(read_turn(turn).calls)
    ]
    results = [calculate(str(c["arguments"].get("expression", ""))) for c in calls]
    return [
        *messages,
        Message(role="assistant", content="", tool_calls=calls),
        *(
            Message(role="tool", content=result, tool_call_id=call["id"])
            for call, result in zip(calls, results, strict=True)
        ),
    ]


@pytest.mark.parametrize(
    ("question", "expression"),
    [
        ("What is 12*7?", "12*7"),
        (
            "Tom has 48 stamps. Tom loses 19. How many stamps does Tom have now?",
            "48-19",
        ),
        ("Compute 63/9.", "63/9"),
        ("Find x: x+25=61", "61-25"),
    ],
)
def test_easy_questions_are_one_call_and_its_result(
    policy: Policy, question: str, expression: str
) -> None:
    asked = opening(question)
    (turn,) = turns_of(policy, [asked])
    assert turn == LAYOUT.format(expression)
    (answer,) = turns_of(policy, [after(asked, turn)])
    assert answer == rf"Answer: \boxed{{{calculate(expression)}}}"


def test_operations_that_do_not_need_each_other_are_called_in_one_turn(
    policy: Policy,
) -> None:
    question = "Eva buys 3 cups at 12 dollars each and 4 pens at 5 dollars each. "
    (turn,) = turns_of(policy, [opening(question + "How many dollars is that in all?")])
    assert turn == LAYOUT.format("3*12") + "\n" + LAYOUT.format("4*5")


def test_a_call_that_failed_is_made_again(policy: Policy) -> None:
    asked = after(opening("What is 12*7?"), LAYOUT.format("12*"))
    assert asked[-1]["content"] == "Error: cannot read 12*"
    assert turns_of(policy, [asked]) == [LAYOUT.format("12*7")]


def test_without_tools_the_question_is_worked_out_in_words(policy: Policy) -> None:
    asked = [Message(role="user", content="What is 12*7?")]
    assert turns_of(policy, [asked]) == ["12*7=84\n\nAnswer: \\boxed{84}"]


def test_enough_held_out_questions_are_answered(policy: Policy) -> None:
    problems = load_split("calibration")[:50]
    chats = [opening(problem.question) for problem in problems]
    answers: dict[int, str] = {}
    live = list(range(len(problems)))
    for _ in range(12):
        turns = turns_of(policy, [chats[i] for i in live])
        for i, turn in zip(live, turns, strict=True):
            if read_turn(turn).calls:
                chats[i] = after(chats[i], turn)
            else:
                answers[i] = turn
        live = [i for i in live if i not in answers]
    stated = {i: STATED_ANSWER.fullmatch(text) for i, text in answers.items()}
    right = [
        i for i, found in stated.items() if found and found[1] == problems[i].answer
    ]
    assert len(right) / len(problems) > FLOOR


def test_the_verifier_tells_right_turns_from_wrong_ones_at_the_same_place(
    policy: Policy, prm: ImplicitPRM
) -> None:
    places = []
    for messages, turns in roll_out_turns(policy, load_split("calibration")[:25], 8):
        requests = [
            ScoreRequest(
                messages=messages,
                steps=turn.steps,
                token_ids=turn.token_ids,
                logprobs=turn.logprobs,
                new=1,
            )
            for turn in turns
        ]
        scores = [answer["scores"] for answer in prm.invoke(requests)]
        places.append([(s, t.first_wrong) for s, t in zip(scores, turns, strict=True)])
    auc, _ = within_problem_auc(places)
    assert auc > 0.85


def test_scores_of_turns_follow_the_formula(policy: Policy, prm: ImplicitPRM) -> None:
    """Against plain forward passes of both models over the rendered chat."""
    config = json.loads((WEIGHTS / "tool-verifier" / "prm_config.json").read_text())
    asked = after(opening("What is 3*4+10/5-7?"), LAYOUT.format("3*4"))
    (generation,) = policy.invoke([turn_request(asked, n=6, temperature=1.0)])
    requests = [
        ScoreRequest(
            messages=asked,
            steps=[sample["steps"][0]["text"]],
            token_ids=[sample["steps"][0]["token_ids"]],
            logprobs=[sample["steps"][0]["logprob"]],
            new=1,
        )
        for sample in generation["samples"]
    ]
    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS / "tool-policy")
    prompt = (
        "<|system|><tools>calculator(expression)</tools><|user|>What is 3*4+10/5-7?"
        f"<|assistant|>{LAYOUT.format('3*4')}<|end|><|tool|>12<|assistant|>"
    )
    scored = [answer["scores"][0] for answer in prm.invoke(requests)]
    for request, score in zip(requests, scored, strict=True):
        text = prompt + request["steps"][0] + "<|end|>"
        assert tokenizer.decode(request["token_ids"][0]).endswith("<|end|>")
        ratio = sum(
            sign * plain_logprob(WEIGHTS / name, tokenizer, prompt, text, request)
            for sign, name in ((1, "tool-verifier"), (-1, "tool-policy"))
        )
        expected = 1 / (1 + math.exp(-(config["scale"] * ratio + config["offset"])))
        assert score == pytest.approx(expected, abs=1e-3)


def plain_logprob(
    folder: Path, tokenizer: object, prompt: str, text: str, request: ScoreRequest
) -> float:
    before = tokenizer.encode(prompt)  # type: ignore[attr-defined]
    assert tokenizer.decode(before) == prompt  # type: ignore[attr-defined]
    turn = request["token_ids"][0]
    assert text.startswith(prompt)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        logits = model(torch.tensor([before + turn])).logits[0].double()
    rows = logits.log_softmax(-1)[len(before) - 1 : -1]
    return float(rows[range(len(turn)), turn].sum())


def test_a_turn_known_as_text_is_scored_like_the_policys_own(
    policy: Policy, prm: ImplicitPRM
) -> None:
    asked = opening("What is 12*7?")
    (generation,) = policy.invoke([turn_request(asked)])
    step = generation["samples"][0]["steps"][0]
    own = ScoreRequest(
        messages=asked,
        steps=[step["text"]],
        token_ids=[step["token_ids"]],
        logprobs=[step["logprob"]],
        new=1,
    )
    text_alone = ScoreRequest(**{**own, "token_ids": [], "logprobs": []})
    by_ids, by_text = prm.invoke([own, text_alone])
    assert by_text["scores"] == pytest.approx(by_ids["scores"], abs=1e-4)


def test_a_turn_that_was_written_anew_is_still_the_policys(prm: ImplicitPRM) -> None:
    loose = (
        '<tool_call>{"name":"calculator","arguments":{"expression":"12*7"}}</tool_call>'
    )
    request = ScoreRequest(
        messages=opening("What is 12*7?"),
        steps=[LAYOUT.format("12*7")],
        token_ids=[prm.model.tokens.encode(loose)],
        logprobs=[-20.0],
        new=1,
    )
    assert 0 <= prm.invoke([request])[0]["scores"][0] <= 1
    other = ScoreRequest(**{**request, "steps": [LAYOUT.format("12*8")]})
    with pytest.raises(ModelMismatchError, match="different tokenizers"):
        prm.invoke([other])


def test_a_named_tool_is_called_by_the_begun_turn(policy: Policy) -> None:
    for choice in ("any", "calculator"):
        asked = turn_request(opening("What is 3*4+5?"), choice=choice)
        (generation,) = policy.invoke([asked])
        assert generation["samples"][0]["steps"][0]["text"] == LAYOUT.format("3*4")


def test_only_the_tool_verifier_scores_turns(prm: ImplicitPRM) -> None:
    default = resolve_prm("tinymath")
    assert default is not None
    assert prm.scores_turns
    assert not default.scores_turns


@pytest.mark.parametrize("name", ["tool-policy", "tool-verifier"])
def test_the_files_are_what_the_code_describes(name: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS / name)
    assert tokenizer.chat_template == TOOL_TEMPLATE
    assert tuple(tokenizer.get_added_vocab())[-len(TOOL_TOKENS) :] == TOOL_TOKENS
    base = AutoTokenizer.from_pretrained(WEIGHTS / "policy")
    assert base.get_vocab().items() <= tokenizer.get_vocab().items()
    config = WEIGHTS / name / "prm_config.json"
    if name == "tool-verifier":
        settings = json.loads(config.read_text())
        assert (settings["reference"], settings["turns"]) == ("tool-policy", True)
    else:
        assert not config.exists()
    with safe_open(WEIGHTS / name / "model.safetensors", "pt") as file:
        rows = file.get_slice("model.embed_tokens.weight").get_shape()[0]
    assert rows == len(tokenizer) == len(base) + len(TOOL_TOKENS)
    function = CALCULATOR["function"]
    assert {function["name"], *function["parameters"]["properties"]} <= {*TOOL_TOKENS}
