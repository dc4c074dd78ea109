"""The original's OpenAPI documents as schemas: what an answer should be, and where it is something else."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from shared.runs.model import Json

Beta: TypeAlias = Literal["v1", "v2"]
HERE = Path(__file__).parent / "openapi"


@dataclass(frozen=True)
class Deviation:
    """``kind`` is the ``object`` that deviates, ``path`` the place in it, ``rule`` how it does."""

    beta: Beta
    kind: str
    path: str
    rule: str

    def __str__(self) -> str:
        return f"{self.beta} {self.kind} {self.path or '(itself)'}: {self.rule}"


@functools.cache
def document(beta: Beta) -> Json:
    text = (HERE / f"assistants-{beta}.yaml").read_text()
    loaded: Json = _converted(yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    for schema in loaded["components"]["schemas"].values():
        if "object" in schema.get("properties", {}):
            schema.setdefault("additionalProperties", False)  # so that what we add is seen
    return loaded


def operations(beta: Beta) -> set[str]:
    """Like ``GET /threads/{thread_id}``."""
    methods = ("get", "post", "delete")
    paths: Json = document(beta)["paths"]
    return {f"{each.upper()} {path}" for path, known in paths.items() for each in methods if each in known}


def deviations(beta: Beta, operation: str, answer: Json) -> Iterator[Deviation]:
    """Of the answer to ``GET /threads/{thread_id}`` or the like."""
    method, _, path = operation.partition(" ")
    responses = document(beta)["paths"][path][method.lower()]["responses"]
    yield from _compared(beta, responses["200"]["content"]["application/json"]["schema"], answer)


def event_deviations(beta: Beta, name: str, data: Any) -> Iterator[Deviation]:
    """Of an event of a stream; one that the document does not know deviates as a whole."""
    schema = _events(beta).get(name)
    if schema is None:
        yield Deviation(beta, "event", name, "unknown")
    else:
        yield from _compared(beta, schema, data)


def error_deviations(beta: Beta, answer: Json) -> Iterator[Deviation]:
    yield from _compared(beta, {"$ref": "#/components/schemas/ErrorResponse"}, answer)


def _compared(beta: Beta, schema: Json, instance: Any) -> Iterator[Deviation]:
    root = {"components": document(beta)["components"], "allOf": [schema]}
    for error in Draft202012Validator(root).iter_errors(instance):
        yield from _said(beta, instance, error)


def _said(beta: Beta, instance: Any, error: ValidationError) -> Iterator[Deviation]:
    path = list(error.absolute_path)
    owner = instance
    if path[:1] == ["data"] and isinstance(instance.get("data"), list) and len(path) > 1:
        owner, path = instance["data"][path[1]], path[2:]
    kind = owner.get("object", "error") if isinstance(owner, dict) else "text"
    place = ".".join("[]" if isinstance(part, int) else str(part) for part in path).replace(".[]", "[]")
    for rule in _rules(error):
        yield Deviation(beta, kind, place, rule)


def _rules(error: ValidationError) -> list[str]:
    """Without values, which differ from run to run."""
    has: Any = error.instance
    schema: Any = error.schema
    wanted: Any = error.validator_value
    if error.validator == "required":
        return [f"{name} is required" for name in wanted if name not in has]
    if error.validator == "additionalProperties":
        return [f"{name} is not listed" for name in sorted(has.keys() - schema["properties"].keys())]
    if has is None or error.validator == "type":
        return [f"is {type(has).__name__}"]
    return [f"{error.validator} fails"]


@functools.cache
def _events(beta: Beta) -> Json:
    """The schemas of the data of all events, by name."""
    schemas = document(beta)["components"]["schemas"]
    found: Json = {}
    for family in schemas["AssistantStreamEvent"]["oneOf"]:
        schema = schemas[family["$ref"].rpartition("/")[2]]
        for each in schema.get("oneOf", [schema]):
            for name in each["properties"]["event"]["enum"]:
                found[name] = each["properties"]["data"]
    return found


def _converted(node: Any) -> Any:
    """OpenAPI's ``nullable`` in the words of JSON Schema; the 3.1 document has it too."""
    if isinstance(node, list):
        return [_converted(each) for each in node]
    if not isinstance(node, dict):
        return node
    converted = {key: _converted(value) for key, value in node.items()}
    if converted.get("nullable") is True:
        del converted["nullable"]
        return {"anyOf": [{"type": "null"}, converted]}
    return converted
