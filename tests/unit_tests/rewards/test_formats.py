"""How each format writes questions and steps, and which format a verifier gets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from langchain_tts.engines.tokens import ModelTokenizer, load_tokenizer
from langchain_tts.rewards import (
    LabelHead,
    ModelLoadError,
    StepFormat,
    register_format,
    resolve_prm,
)
from langchain_tts.rewards.formats import (
    MathPsaFormat,
    MathShepherdFormat,
    QwenMathFormat,
    RLHFlowFormat,
    SkyworkFormat,
    read_config,
)
from langchain_tts.search.state import Message
from tests.unit_tests.tiny_models import save_model
from tests.unit_tests.tiny_prms import FAMILIES, save_prm

KI = "\u043a\u0438"
FORMATS: dict[str, StepFormat] = {
    "math-shepherd": MathShepherdFormat(),
    "rlhflow": RLHFlowFormat(),
    "skywork": SkyworkFormat(),
    "qwen2.5-math": QwenMathFormat(),
    "math-psa": MathPsaFormat(),
}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelTokenizer]:
    parent = tmp_path_factory.mktemp("formats")
    folders = {family: save_prm(parent / family, family) for family in FAMILIES}
    return {family: load_tokenizer(folder)[0] for family, folder in folders.items()}


def user(text: str) -> list[Message]:
    return [Message(role="user", content=text)]


def written(
    tokens: dict[str, ModelTokenizer], family: str, text: str, number: int = 1
) -> str:
    ids = FORMATS[family].step_ids(
        tokens[family], text, None, number, leads=number == 1
    )
    return str(tokens[family].tokenizer.decode([tokens[family].encode("0")[-1], *ids]))


@pytest.mark.parametrize(
    ("family", "text", "number", "expected"),
    [
        ("math-shepherd", "a = 1", 1, f"0 Step 1: a = 1 {KI}"),
        ("math-shepherd", "a = 1", 12, f"0\nStep 12: a = 1 {KI}"),
        ("math-shepherd", "Step 4: a", 2, f"0\nStep 4: a {KI}"),
        ("math-shepherd", "## Step 4: Sum\n\na", 2, f"0\nStep 4: Sum a {KI}"),
        ("math-shepherd", "a\n b\n", 1, f"0 Step 1: a b {KI}"),
        ("math-shepherd", f"a{KI}", 1, f"0 Step 1: a\u043a \u0438 {KI}"),
        ("math-shepherd", "a</s>", 1, f"0 Step 1: a< /s> {KI}"),
        ("skywork", "a\n  b\n", 2, "0a b\n"),
        ("skywork", "<|im_end|>", 2, "0< |im_end|>\n"),
        ("qwen2.5-math", " a\nb\n", 2, "0a\nb<extra_0>"),
        ("qwen2.5-math", "a<extra_0>b", 2, "0a< extra_0>b<extra_0>"),
        ("math-psa", "a\nb", 2, "0 a\nb \n\n\n\n\n"),
        ("math-psa", "a \n\n \n\n\n\nb", 2, "0 a\n\nb \n\n\n\n\n"),
    ],
)
def test_a_step_is_written_as_the_verifier_was_trained_to_see_it(
    tokens: dict[str, ModelTokenizer],
    family: str,
    text: str,
    number: int,
    expected: str,
) -> None:
    assert written(tokens, family, text, number) == expected


def test_a_later_turn_begins_with_the_judgement_of_the_one_before(
    tokens: dict[str, ModelTokenizer],
) -> None:
    ask = "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    user_turn = "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n"
    assert written(tokens, "rlhflow", "a\n") == f"0 a{ask}"
    assert written(tokens, "rlhflow", "a<|eot_id|>", 2) == (
        f"0+{user_turn}a< |eot_id|>{ask}"
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_markers_and_labels_are_the_tokens_that_the_text_is_cut_into(
    tokens: dict[str, ModelTokenizer], family: str
) -> None:
    own = tokens[family]
    head = FORMATS[family].head(own)
    if isinstance(head, LabelHead):
        spelled = own.tokenizer.convert_ids_to_tokens([head.good, head.bad])
        assert [text.strip("\u0120\u2581") for text in spelled] == ["+", "-"]
        if family != "rlhflow":
            assert own.encode("x + -")[-2:] == [head.good, head.bad]


def test_special_tokens_in_a_question_are_letters(
    tokens: dict[str, ModelTokenizer],
) -> None:
    own = tokens["qwen2.5-math"]
    ids = FORMATS["qwen2.5-math"].question_ids(own, user("1<|im_end|>2<extra_0>"))
    text = own.tokenizer.decode(ids)
    assert "user\n1< |im_end|>2< extra_0><|im_end|>\n<|im_start|>assistant\n" in text


def test_a_template_without_alternating_turns_is_refused(tmp_path: Path) -> None:
    own, _ = load_tokenizer(save_prm(tmp_path, "rlhflow"))
    own.tokenizer.chat_template = "{{ messages[-1]['content'] }}"
    with pytest.raises(ModelLoadError, match="not one of alternating user and"):
        RLHFlowFormat().question_ids(own, user("1"))
    own.tokenizer.chat_template = None
    with pytest.raises(ModelLoadError, match="no chat template"):
        RLHFlowFormat().question_ids(own, user("1"))


# Which format


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("peiyi9979/math-shepherd-mistral-7b-prm", "math-shepherd"),
        ("RLHFlow/Llama3.1-8B-PRM-Mistral-Data", "rlhflow"),
        ("RLHFlow/Llama3.1-8B-PRM-Deepseek-Data", "rlhflow"),
        ("Skywork/Skywork-o1-Open-PRM-Qwen-2.5-1.5B", "skywork"),
        ("Skywork/Skywork-o1-Open-PRM-Qwen-2.5-7B", "skywork"),
        ("Qwen/Qwen2.5-Math-PRM-7B", "qwen2.5-math"),
        ("Qwen/Qwen2.5-Math-PRM-72B", "qwen2.5-math"),
        ("openreasoner/Math-psa", "math-psa"),
    ],
)
def test_published_models_are_known_by_their_whole_names(
    name: str, family: str
) -> None:
    assert read_config(name) == {"format": family}
    assert read_config(name, "tinymath-tag") == {"format": "tinymath-tag"}
    for other in (f"{name}-v2", name.upper(), name.split("/")[1], f"models/{name}"):
        with pytest.raises(ModelLoadError, match="nothing tells the format"):
            read_config(other)


def test_a_path_says_nothing_about_the_format(tmp_path: Path) -> None:
    misleading = tmp_path / "RLHFlow/math-shepherd-mistral-7b-prm"
    save_prm(misleading, "qwen2.5-math")
    assert read_config(str(misleading)) == {"format": "qwen2.5-math"}
    plain = tmp_path / "Qwen/Qwen2.5-Math-PRM-7B"
    save_prm(plain, "math-psa", describe=False)
    with pytest.raises(ModelLoadError, match="one of math-shepherd, rlhflow, skywork"):
        read_config(str(plain))


def test_what_the_user_says_counts_before_what_the_files_say(tmp_path: Path) -> None:
    save_prm(tmp_path, "skywork")
    assert read_config(str(tmp_path)) == {"format": "skywork"}
    described = {"format": "tinymath-tag", "tag": "<x>"}
    (tmp_path / "prm_config.json").write_text(json.dumps(described))
    assert read_config(str(tmp_path)) == described
    assert read_config(str(tmp_path), "rlhflow")["format"] == "rlhflow"
    (tmp_path / "prm_config.json").write_text("[1]")
    with pytest.raises(ModelLoadError, match="expected a JSON object"):
        read_config(str(tmp_path))


# Formats of users


class PlusFormat(StepFormat):
    """Letters only, every step followed by a sign."""

    def __init__(self, sign: str = "=") -> None:
        self.sign = sign

    def question_ids(
        self, tokens: ModelTokenizer, messages: Sequence[Message]
    ) -> list[int]:
        return tokens.encode(messages[-1]["content"])

    def step_ids(
        self,
        tokens: ModelTokenizer,
        text: str,
        ids: list[int] | None,
        number: int,
        *,
        leads: bool,
    ) -> list[int]:
        assert ids is None
        return tokens.encode(f"{number if leads else ''}{text}{self.sign}")

    def head(self, tokens: ModelTokenizer) -> LabelHead:
        return LabelHead(tokens.single_id("1"), tokens.single_id("2"))


def test_a_registered_format_is_found_by_its_name(tmp_path: Path) -> None:
    register_format("plus", PlusFormat)
    register_format("plus", PlusFormat)
    folder = save_model(tmp_path, prm={"format": "plus", "sign": "-"})
    described = resolve_prm(f"transformers:{folder}")
    named = resolve_prm(f"transformers:{folder}?format=plus")
    assert described is not None
    assert named is not None
    values = {"question": "1+1=", "steps": ["2", "3"]}
    scores = named.as_tool().invoke(values)
    assert described.as_tool().invoke(values) == pytest.approx(scores, abs=1e-5)
    assert described._format.sign == "-"  # type: ignore[attr-defined]


def test_names_of_formats_are_taken_once() -> None:
    for name in ("rlhflow", "implicit"):
        with pytest.raises(ValueError, match=f"{name}' exists already"):
            register_format(name, PlusFormat)
    with pytest.raises(TypeError, match="subclass of StepFormat"):
        register_format("text", str)  # type: ignore[arg-type]
