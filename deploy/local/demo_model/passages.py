"""Answering from what a search of files returned: by quoting it."""

import re

_PASSAGE = re.compile(
    r"^(?P<marker>【[^】\n]+】)[^\n]*\n(?P<fence>-----\w+)\n(?P<text>.*?)\n(?P=fence)$", re.M | re.S
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_WORD = re.compile(r"[^\W_]{2,}")
_EMPTY_WORDS = (
    "an and are as at be by can did do does for from has have how in is it many much of on or that the"
)
_EMPTY = frozenset(
    f"{_EMPTY_WORDS} to was were what when where which who why with file files document documents".split()
)
_LONGEST_QUOTE = 300  # characters
_MOST_QUOTES = 2


def quoted_answer(question: str, output: str) -> str | None:
    """Quote the sentences that share most words with the question, each with its marker; None without any.

    Of two that share as many, the one that the search put first; a second one only if it shares as many.
    """
    asked = _words(question)
    sentences = [
        (len(asked & _words(sentence)), passage["marker"], sentence)
        for passage in _PASSAGE.finditer(output)
        for sentence in _SENTENCE_END.split(passage["text"].strip())
        if _WORD.search(sentence)
    ]
    if not sentences:
        return None
    most = max(shared for shared, _, _ in sentences)
    best = dict.fromkeys((marker, sentence) for shared, marker, sentence in sentences if shared == most)
    seen: dict[str, str] = {}
    for marker, sentence in best:
        seen.setdefault(sentence.strip("# \t")[:_LONGEST_QUOTE], marker)
    return " ".join(f"“{sentence}”{marker}" for sentence, marker in list(seen.items())[:_MOST_QUOTES])


def _words(text: str) -> set[str]:
    return {word.removesuffix("s") for word in _WORD.findall(text.lower()) if word not in _EMPTY}
