"""Code out of arguments that are still being written, however the model's server cuts them."""

import json

import pytest

from services.run_orchestrator.code_argument import CodeArgument
from services.run_orchestrator.replies import FaultyReply

CODES = [
    "",
    "print(1)",
    'say("a\\tb")\n\tif x:\r\n  "quoted" \\ back/slash',
    "größer = '日本' # \x07\b\f",
    "s = '😀' + '\U0001f468‍\U0001f469‍\U0001f467'",
    "x = '\\u00e9' + r'\\n'",
    "\u2028\u00e9\x00",
]


def written(code: str) -> list[str]:
    """``code`` as arguments, in the ways that models write them."""
    return [
        json.dumps({"code": code}),
        json.dumps({"code": code}, ensure_ascii=False),
        json.dumps({"code": code}, indent=2),
        '{"code":' + json.dumps(code).replace("/", "\\/") + "}",
        json.dumps({"code": code, "timeout": 3}),
        json.dumps({"language": "python", "code": code}),
    ]


def fed(*pieces: str) -> tuple[list[str], CodeArgument]:
    argument = CodeArgument()
    return [argument.feed(piece) for piece in pieces], argument


@pytest.mark.parametrize("code", CODES)
def test_pieces_add_up_to_the_code_at_every_cut(code: str) -> None:
    for text in written(code):
        for cut in range(len(text) + 1):
            pieces, argument = fed(text[:cut], text[cut:])
            assert "".join(pieces) == argument.finish() == argument.code == code


@pytest.mark.parametrize("code", CODES)
def test_pieces_add_up_letter_by_letter(code: str) -> None:
    for text in written(code):
        pieces, argument = fed(*text)
        assert "".join(pieces) == argument.finish() == code


def test_what_is_readable_is_shown_at_once() -> None:
    pieces, _ = fed('{"co', 'de": "a', "bc", "\\", "nd", "\\u00", "e9", '"}')
    assert pieces == ["", "a", "bc", "", "\nd", "", "é", ""]


def test_a_pair_of_escapes_is_one_letter_and_is_never_shown_by_halves() -> None:
    text = json.dumps({"code": "😀"})
    assert text == '{"code": "\\ud83d\\ude00"}'
    pieces, _ = fed(*text)
    assert [piece for piece in pieces if piece] == ["😀"]


@pytest.mark.parametrize("half", ["\\ud83d", "\\ude00", "\\ud83dx", "\\ud83d\\n", "\\ud83d\\u0041"])
def test_half_a_pair_becomes_a_replacement_that_can_be_stored(half: str) -> None:
    text = f'{{"code": "{half}"}}'
    for cut in range(len(text) + 1):
        pieces, argument = fed(text[:cut], text[cut:])
        assert "".join(pieces) == argument.finish()
        assert argument.finish().encode().startswith("\ufffd".encode())


@pytest.mark.parametrize("code", ["print(1)", "  \nx = {}\n", "[1, 2]", '"text"', "# {}"])
def test_arguments_that_are_no_object_are_the_code_itself(code: str) -> None:
    for cut in range(len(code) + 1):
        pieces, argument = fed(code[:cut], code[cut:])
        assert "".join(pieces) == argument.finish() == code


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "{",
        "{}",
        '{"code"',
        '{"code": "print(1)',
        '{"code": "print(1)"',
        '{"code": "print(1)\\"}',
        '{"code": "\\ud83d',
        '{"code": 1}',
        '{"code": ["print(1)"]}',
        '{"code": null}',
        '{"source": "print(1)"}',
        '{"code": "a"} {"code": "b"}',
        '{"code": "a", "code": "b"}',
        '{"note": {"code": "a"}, "x": 1}',
        "{'code': 'print(1)'}",
    ],
)
def test_broken_arguments_are_a_faulty_reply_at_every_cut(text: str) -> None:
    for cut in range(len(text) + 1):
        _, argument = fed(text[:cut], text[cut:])
        with pytest.raises(FaultyReply, match="code_interpreter"):
            argument.finish()


def test_line_breaks_that_json_forbids_are_taken_as_they_are() -> None:
    _, argument = fed('{"code": "a = 1\nb = 2"}')
    assert argument.finish() == "a = 1\nb = 2"
