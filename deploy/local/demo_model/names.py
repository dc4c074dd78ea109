"""Whom the instructions ask to address."""

import re

_TITLE = r"(?:(?:Dr|Mr|Mrs|Ms|Prof)\.\s+)?"
_WORD = r"[^\W\d_](?:[\w'\u2019-]*\w)?"  # letters of any script
_NAME = rf"{_TITLE}{_WORD}(?:\s+{_WORD})*"
_REQUEST = re.compile(
    r"(?:\b(?:address|call|greet|refer\s+to)\s+(?:the\s+)?(?:user|customer|client|student|me|them|him|her)"
    r"(?:\s+(?:as|by\s+the\s+name(?:\s+of)?))?|\b(?:user|customer)(?:['\u2019]s)?\s+name\s+is|\bmy\s+name\s+is)\s+"
    rf"(?:[\"“'`](?P<quoted>[^\"”'`\n]+)[\"”'`]|(?P<plain>{_NAME}))",
    re.IGNORECASE,
)


def name_to_address(instructions: str) -> str | None:
    """Find the name in sentences such as "Please address the user as Jane Doe."

    >>> name_to_address("Please address the user as Jane Doe. The user has a premium account.")
    'Jane Doe'
    """
    name = None
    for match in _REQUEST.finditer(instructions):
        name = match["quoted"] or _leading_name(match["plain"]) or name
    return name


def _leading_name(words: str) -> str:
    """Drop what follows the name: "Jane Doe and be kind" is "Jane Doe"."""
    first, *others = words.split()
    kept = [first]
    for word in others:
        if word[0].islower():  # scripts without capitals are kept
            break
        kept.append(word)
    return " ".join(kept)
