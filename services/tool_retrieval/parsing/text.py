"""Bytes of text, in whatever encoding they are."""

import codecs

from services.tool_retrieval.parsing.errors import ParseError

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SAMPLE_BYTES = 1 << 16  # of which an unknown encoding is guessed
BINARY = frozenset(range(32)) - {7, 8, 9, 10, 11, 12, 13, 27}
MOST_BINARY = 0.02
MOST_CHARS = 40_000_000


def decode(content: bytes) -> str:
    """Return the text.

    Raises:
        ParseError: it is none.
    """
    for mark, encoding in MARKS:
        if content.startswith(mark):
            return _strictly(content, encoding)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return _guess(content)
    if not _is_text(content[:SAMPLE_BYTES]):
        raise _binary()
    return text


def check_length(text: str) -> None:
    """
    Raises:
        ParseError: it is more than is taken in.
    """
    if len(text) > MOST_CHARS:
        raise ParseError("invalid_file", "The file holds too much text.")


def _strictly(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise ParseError("invalid_file", f"The file is marked as {encoding}, and is not.") from None


def _guess(content: bytes) -> str:
    sample = content[:SAMPLE_BYTES]
    for encoding in ("utf-16-le", "utf-16-be"):
        zeros = sample[1 if encoding == "utf-16-le" else 0 :: 2].count(0)
        if len(sample) >= 4 and zeros > len(sample) * 0.2 and len(content) % 2 == 0:
            text = _strictly(content, encoding)
            if "\0" in text[:SAMPLE_BYTES]:
                raise _binary()
            return text
    if not _is_text(sample):
        raise _binary()
    from charset_normalizer import from_bytes  # for the few that need it

    best = from_bytes(sample).best()
    if best is None:
        raise _binary()
    return content.decode(best.encoding, "replace")


def _is_text(sample: bytes) -> bool:
    return sum(byte in BINARY for byte in sample) <= len(sample) * MOST_BINARY


def _binary() -> ParseError:
    return ParseError("invalid_file", "The file is not text: its encoding cannot be made out.")
