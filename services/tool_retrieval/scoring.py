"""What a hit is worth: a score from 0 to 1 that means the same for every query and every store. Pure.

Half of it is the cosine of the angle between query and window; half is BM25, divided by what a window
would get that has all words of the query and a few more. Those few are a doubt: the shorter the query, the
likelier that a text which is about something else has its words, and a rare one alone earns the BM25 of
several. Unlike a fusion of ranks, the score says whether the best hit is any good.
"""

import re
from collections.abc import Mapping

from services.tool_retrieval.stopwords import STOPWORDS

WORD = re.compile(r"\w+")
FULL_MARKS = 6.0  # BM25 of one word of the query that is in a window; chosen with DOUBT (RESULTS.md)
DOUBT = 3  # words that every query has beside its own, and no window


def words_of(query: str) -> set[str]:
    return {word for word in WORD.findall(query.lower()) if word not in STOPWORDS}


def score(cosine: float | None, bm25: float, words: int, weights: Mapping[str, float] | None = None) -> float:
    """Return the score of a window.

    Args:
        cosine: None where there are no vectors: then BM25 alone counts.
        words: How many different words the query has, without the most frequent ones of the language.
        weights: embedding_weight and text_weight, if the client named them.
    """
    text = min(1.0, bm25 / (FULL_MARKS * (words + DOUBT)))
    if cosine is None:
        return text
    dense_weight = weights.get("embedding_weight", 0.5) if weights else 0.5
    text_weight = weights.get("text_weight", 0.5) if weights else 0.5
    if dense_weight + text_weight <= 0:
        dense_weight = text_weight = 0.5
    whole = dense_weight + text_weight
    return (dense_weight * min(1.0, max(0.0, cosine)) + text_weight * text) / whole
