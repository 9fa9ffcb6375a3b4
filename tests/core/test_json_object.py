"""A provider's JSON: whatever the bytes, an object that can be worked with, or None."""

import math

import pytest

from tool_agentd.oauth.json_object import read_object

UNREADABLE = {
    "1,100 levels": b'{"a":' + b"[" * 1_100 + b"]" * 1_100 + b"}",
    "100,000 levels": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a key twice": b'{"access_token":"a","access_token":"b"}',
    "a key twice, further down": b'{"a":[{"b":1,"b":2}]}',
    "invalid UTF-8": b'{"a":"\xff"}',
    "a surrogate in UTF-8": b'{"a":"\xed\xa0\x80"}',
    "UTF-16": '{"a":"b"}'.encode("utf-16"),
    "an array": b"[]",
    "two objects": b"{}{}",
    "nothing": b"",
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_none(name: str) -> None:
    """It raises nothing."""
    assert read_object(UNREADABLE[name]) is None


def test_odd_values_do_not_cost_what_stands_beside_them() -> None:
    """Numbers beyond floats are infinite, half a surrogate pair is replaced, a mark is skipped."""
    body = b'\xef\xbb\xbf{"n":NaN,"e":1e400,"i":-' + b"9" * 10_000
    body += b',"s":["\\uD800",{"\\udc00k":"\\ud83d\\ude00"}],"t":"kept"}'
    found = read_object(body)
    assert found is not None
    assert math.isnan(found["n"])
    assert (found["e"], found["i"], found["t"]) == (math.inf, -math.inf, "kept")
    assert found["s"] == ["\ufffd", {"\ufffdk": "\U0001f600"}]
