from __future__ import annotations

import io

import pytest

from adapters.formats.payload import Payload
from backend.errors import Invalid


def _payload(text: str) -> Payload:
    return Payload(io.BytesIO(text.encode()))


def test_options_may_stand_anywhere() -> None:
    payload = _payload('{"mode": "append", "data": {"images": [{"mode": 1, "data": {}}]}, "dryRun": true}')

    assert payload.options == {"mode": "append", "dryRun": True}
    assert list(payload.items("images")) == [{"mode": 1, "data": {}}]


def test_a_name_with_dots_is_one_name() -> None:
    payload = _payload('{"data": {"files": {"a.b.txt": "1", "": "2"}}}')

    assert list(payload.pairs("files")) == [("a.b.txt", "1"), ("", "2")]


@pytest.mark.parametrize("text", ['{"data": [1, 2', "{]", '{"data": NaN}', '{"a": 1} 2', "\xff", '{"a": "\ud800"}'])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        Payload(io.BytesIO(text.encode("utf-8", "surrogatepass") if text != "\xff" else b"\xff"))

    assert caught.value.code == "invalid_json"


@pytest.mark.parametrize("text", ["[]", "7", '{"data": ' + "[" * 100_000])
def test_what_is_no_file_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        _payload(text)

    assert caught.value.code == "import_invalid"
