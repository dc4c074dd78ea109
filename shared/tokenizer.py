"""Counts tokens, offline: the ranks are part of the package.

The count is exact for models with OpenAI's ``o200k_base`` encoding, and within a few percent for
others on English text and code.
"""

import hashlib
import math
from functools import cache, lru_cache
from itertools import accumulate
from pathlib import Path

import tiktoken
from tiktoken.load import load_tiktoken_bpe

RANKS = Path(__file__).parent / "ranks" / "o200k_base.tiktoken"
SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
BYTES_PER_TOKEN = 4.6  # measured on English, Chinese and code
BLOCK_CHARS = 20_000  # a run of letters without an end would take the square of its length
_LETTER, _UPPER, _LOWER = (
    r"[^\r\n\p{L}\p{N}]?",
    r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]",
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]",
)
_ENDING = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
PATTERN = "|".join(  # as the encoding is published
    (
        f"{_LETTER}{_UPPER}*{_LOWER}+{_ENDING}",
        f"{_LETTER}{_UPPER}+{_LOWER}*{_ENDING}",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)


@lru_cache(maxsize=4096)
def count_tokens(text: str) -> int:
    """Return the number of tokens. The first call loads the ranks, for about a second: use a thread."""
    return len(_encoding().encode_ordinary(text))


def most_tokens(text: str) -> int:
    """Return an upper bound that costs next to nothing: no token is shorter than a byte."""
    return len(text.encode("utf-8", "replace"))


def about_tokens(text: str) -> int:
    """Return an estimate that costs next to nothing."""
    return math.ceil(most_tokens(text) / BYTES_PER_TOKEN)


def token_ends(text: str) -> list[int]:
    """Return where each token of ``text`` ends, in code points; several end with the same, long one.

    For long texts: in blocks, so that a token may be cut where two of them meet.
    """
    encoding = _encoding()
    blocks = (text[start : start + BLOCK_CHARS] for start in range(0, len(text), BLOCK_CHARS))
    return list(accumulate(_begun(token) for block in blocks for token in encoding.encode_ordinary(block)))


@cache
def _begun(token: int) -> int:
    """How many code points begin in a token: it may hold a part of one only."""
    return sum(byte & 0xC0 != 0x80 for byte in _encoding().decode_single_token_bytes(token))


@cache
def _encoding() -> tiktoken.Encoding:
    if hashlib.sha256(RANKS.read_bytes()).hexdigest() != SHA256:
        raise ValueError(f"{RANKS.name} is damaged")
    ranks = load_tiktoken_bpe(str(RANKS))
    return tiktoken.Encoding("o200k_base", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
