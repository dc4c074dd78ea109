"""Which functions the question asks for, and with what arguments."""

import re

from pydantic import JsonValue

from deploy.local.demo_model.arguments import Facts, Filler
from deploy.local.demo_model.reply import Call
from deploy.local.demo_model.request import Function, Schema

FILE_TOOLS = frozenset({"file_search", "retrieval"})
_ABOUT_FILES = re.compile(r"\b(?:files?|documents?|docs?|attach\w*|upload\w*|pdfs?|pages?)\b", re.IGNORECASE)
# Words that say nothing about what a function is for.
_EMPTY_WORDS = (
    "a all an and any api as at be by call calls can current data do find for from function get gets given"
    " has have how in info information into is it its list make my name of on one or return returns run set"
    " tell that the their them this to tool use used user users value what"
    " when which will with you your"
)
_EMPTY = frozenset(_EMPTY_WORDS.split())


def functions_asked_for(question: str, offered: list[Function]) -> list[Function]:
    """Keep those that the question means, in the order in which they were offered."""
    said = {_stem(word) for word in _words(question)}
    lowered = question.lower()
    named = [
        function
        for function in offered
        if function.name.lower() in lowered or said & _telling(_split_name(function.name))
    ]
    return named or [function for function in offered if said & _telling(function.description or "")]


def asks_about_files(question: str) -> bool:
    return _ABOUT_FILES.search(question) is not None


def calls_of(function: Function, question: str) -> list[Call]:
    """One call, or one for each place or name when the function takes a single free string."""
    facts = Facts.of(question)
    if function.name in FILE_TOOLS:
        facts = Facts(facts.question, (), (), ())  # the whole question is the query
    schema = function.parameters or {}
    strings = facts.strings if len(_free_strings(schema)) == 1 else ()
    if len(strings) < 2:
        return [Call(function.name, Filler(facts, schema).object())]
    quoted = bool(facts.quoted)
    each = [
        Facts(facts.question, (one,) if quoted else (), () if quoted else (one,), facts.numbers)
        for one in strings
    ]
    return [Call(function.name, Filler(one, schema).object()) for one in each]


def filled(schema: Schema, question: str) -> dict[str, JsonValue]:
    """Fill a schema that is not a function's: a structured answer."""
    return Filler(Facts.of(question), schema).object()


def _free_strings(schema: Schema) -> list[str]:
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict) or not isinstance(required, list):
        return []
    return [
        name
        for name, of_property in properties.items()
        if name in required
        and isinstance(of_property, dict)
        and of_property.get("type") in ("string", ["string", "null"])
        and not {"enum", "const"} & of_property.keys()
    ]


def _split_name(name: str) -> str:
    """Split "getNickname_forCity" into words."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[_-]+", " ", name)


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]{3,}", text.lower())


def _telling(text: str) -> set[str]:
    return {_stem(word) for word in _words(text) if word not in _EMPTY}


def _stem(word: str) -> str:
    """Make "cities" and "city", "nicknames" and "nickname" alike."""
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word.removesuffix("s")
