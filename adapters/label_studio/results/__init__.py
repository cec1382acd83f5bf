"""Result items of Label Studio ⇄ regions.

`encode` and `decode` know what all items share; `formats` lists the module for each control tag, which knows the
item's `value`. `check` judges any list of items, `prompts` reads interactive requests.
"""

from __future__ import annotations

from adapters.label_studio.results.check import Checked, check, check_result
from adapters.label_studio.results.decoding import Answer, decode, read_region
from adapters.label_studio.results.encoding import EncodedPrediction, Found, chosen, encode
from adapters.label_studio.results.formats import ANSWERS, SHAPES

__all__ = [
    "ANSWERS",
    "SHAPES",
    "Answer",
    "Checked",
    "EncodedPrediction",
    "Found",
    "check",
    "check_result",
    "chosen",
    "decode",
    "encode",
    "read_region",
]
