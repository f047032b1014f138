"""How step-wise PRMs were trained to see a solution: one file a family.

Inputs are built from token ids, piece by piece, so that the ids of a prefix are a
prefix of the ids of its extension, and only the newest piece is ever computed.
"""

from langchain_tts.rewards.formats.base import StepFormat
from langchain_tts.rewards.formats.config import CONFIG, read_config
from langchain_tts.rewards.formats.math_psa import MathPsaFormat
from langchain_tts.rewards.formats.math_shepherd import MathShepherdFormat
from langchain_tts.rewards.formats.qwen_math import QwenMathFormat
from langchain_tts.rewards.formats.registry import register_format, step_format
from langchain_tts.rewards.formats.rlhflow import RLHFlowFormat
from langchain_tts.rewards.formats.self_test import self_test
from langchain_tts.rewards.formats.skywork import SkyworkFormat
from langchain_tts.rewards.formats.tag import TagFormat

__all__ = [
    "CONFIG",
    "MathPsaFormat",
    "MathShepherdFormat",
    "QwenMathFormat",
    "RLHFlowFormat",
    "SkyworkFormat",
    "StepFormat",
    "TagFormat",
    "read_config",
    "register_format",
    "self_test",
    "step_format",
]
