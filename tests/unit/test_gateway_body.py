"""Bytes of a request to JSON."""

import pytest

from services.gateway.body import parse
from shared.errors import InvalidRequest


@pytest.mark.parametrize("raw", [b"", b"  \n", b"{}"])
def test_no_body_and_an_empty_one_are_equal(raw: bytes) -> None:
    assert parse(raw) == {}


@pytest.mark.parametrize(
    "raw", [b"{", b"a=b", b'{"a": NaN}', b'{"a": "\xff"}', b'{"a": "\\ud800"}', b"[" * 100_000]
)
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest, match="We could not parse the JSON body of your request"):
        parse(raw)


@pytest.mark.parametrize("raw", [b'{"a": 99999999999999999999}', b'{"a\\u0000": 1}', b"[" * 90 + b"]" * 90])
def test_what_cannot_be_stored_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest, match="cannot store"):
        parse(raw)
