"""One id, several spellings: prefix and ULID for agents, the same 128 bits as a UUID, a bare ULID inside."""

from __future__ import annotations

import re
from uuid import UUID

from backend.ids import ulid_from_int

PREFIXES = {
    "user_id": "u_",
    "workspace_id": "ws_",
    "project_id": "prj_",
    "image_id": "img_",
    "label_set_id": "lbs_",
    "annotation_id": "ann_",
    "training_id": "trn_",
    "run_id": "inf_",
    "key_id": "key_",
}
"""By the name of a parameter."""

_ULID = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")


def spell(kind: str, bare: str) -> str:
    """Write an id as agents see it.

    >>> spell("training_id", "01jd3z6t9q4m8w2v5x7b1c0n3k")
    'trn_01jd3z6t9q4m8w2v5x7b1c0n3k'
    """
    return PREFIXES[kind] + bare


def read_id(kind: str, written: str) -> str:
    """Return the bare ULID of an id in any of its spellings; "" where it is none, which no object has.

    >>> read_id("training_id", "trn_01jd3z6t9q4m8w2v5x7b1c0n3k")
    '01jd3z6t9q4m8w2v5x7b1c0n3k'
    >>> read_id("training_id", "0193473f-6937-2511-c16c-bd3ac2c05473")
    '01jd3kyt9q4m8w2v5x7b1c0n3k'
    >>> read_id("training_id", "prj_01jd3z6t9q4m8w2v5x7b1c0n3k")
    ''
    """
    text = written.removeprefix(PREFIXES[kind]).lower()
    if _ULID.fullmatch(text):
        return text
    try:
        return ulid_from_int(UUID(written).int)
    except ValueError:
        return ""
