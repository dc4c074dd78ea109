"""Where tokens end, in code points."""

import pytest

from shared.tokenizer import BLOCK_CHARS, count_tokens, token_ends

TEXTS = ["", "Hello, world.", "naïve café", "数据库 и ещё", "a\U0001f600\U0001f9d1b"]


@pytest.mark.parametrize("text", TEXTS)
def test_the_last_token_ends_with_the_text(text: str) -> None:
    ends = token_ends(text)
    assert len(ends) == count_tokens(text)
    assert ends == sorted(ends)
    assert ends[-1:] == ([len(text)] if text else [])


def test_a_word_without_an_end_is_counted_in_time() -> None:
    text = "a" * (BLOCK_CHARS * 50 + 1)
    assert token_ends(text)[-1] == len(text)
