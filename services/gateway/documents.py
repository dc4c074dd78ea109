"""The OpenAPI document: what the framework cannot know, since bodies depend on a header."""

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from services.gateway.version import Version
from services.gateway.wire.fields import RequestBody
from services.gateway.wire.files import LONGEST_S, PURPOSES, SHORTEST_S
from services.gateway.wire.objects import ErrorAnswer
from shared.runs.model import Json

UNUSED = {"HTTPValidationError", "ValidationError"}
REF = "#/components/schemas/{model}"
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorAnswer, "description": "The request cannot be served as it is."},
    401: {"model": ErrorAnswer, "description": "No API key, or a wrong one."},
    403: {"model": ErrorAnswer, "description": "The API key may not do this."},
    404: {"model": ErrorAnswer, "description": "The request names something that is not there."},
    429: {"model": ErrorAnswer, "description": "The API key has used what it may for now."},
    503: {"model": ErrorAnswer, "description": "The store is away; try again."},
}
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
        "description": "The run; or with `stream: true` its events, ending with `done`.",
    }
}
VERSION_HEADER: Json = {
    "name": "OpenAI-Beta",
    "in": "header",
    "required": True,
    "description": "`assistants=v2`, or `assistants=v1` for requests and answers in their v1 form.",
    "schema": {"type": "string", "default": "assistants=v2"},
}
V1_HEADER: Json = VERSION_HEADER | {
    "description": "`assistants=v1`; later versions do not have this operation.",
    "schema": {"const": "assistants=v1"},
}
V2_HEADER: Json = VERSION_HEADER | {
    "required": False,
    "description": "`assistants=v2`, or nothing; version 1 does not have this operation.",
}
SECURITY: Json = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "basic": {"type": "http", "scheme": "basic", "description": "Empty user name, the key as password."},
}


UPLOAD: Json = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"enum": list(PURPOSES[Version.V2])},
                        "expires_after[anchor]": {"const": "created_at"},
                        "expires_after[seconds]": {
                            "type": "integer",
                            "minimum": SHORTEST_S,
                            "maximum": LONGEST_S,
                        },
                    },
                }
            }
        },
    }
}


def operation(
    *bodies: type[RequestBody],
    required: bool = False,
    header: bool = True,
    v1_only: bool = False,
    v2_only: bool = False,
    parameters: Sequence[Json] = (),
) -> Json:
    """Describe an operation of the API, with the models of its body if it has one (v2 first)."""
    version = V1_HEADER if v1_only else V2_HEADER if v2_only else VERSION_HEADER
    headers = [version] if header else []
    described: Json = {"parameters": [*headers, *parameters], "security": [{name: []} for name in SECURITY]}
    if bodies:
        refs = [{"$ref": REF.format(model=body.__name__)} for body in bodies]
        schema = refs[0] if len(refs) == 1 else {"anyOf": refs}
        described["requestBody"] = {"required": required, "content": {"application/json": {"schema": schema}}}
    return described


def document(app: FastAPI) -> Json:
    """Return the OpenAPI document of ``app``."""
    made = get_openapi(
        title=app.title, version=app.version, summary=app.summary, routes=app.routes, tags=app.openapi_tags
    )
    for method in (method for methods in made["paths"].values() for method in methods.values()):
        method["responses"].pop("422", None)  # the framework's own; here it is a 400
    components = made.setdefault("components", {})
    components["securitySchemes"] = SECURITY
    models = {model.__name__: model for model in _subclasses(RequestBody)}
    wanted = sorted(set(_refs(made["paths"])) & models.keys())
    _, schemas = models_json_schema([(models[name], "validation") for name in wanted], ref_template=REF)
    all_schemas = {**components.get("schemas", {}), **schemas["$defs"]}
    components["schemas"] = {name: all_schemas[name] for name in sorted(all_schemas.keys() - UNUSED)}
    return made


def _subclasses(model: type[RequestBody]) -> Iterator[type[RequestBody]]:
    for subclass in model.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def _refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(ref := node.get("$ref"), str):
            yield ref.rpartition("/")[2]
        for member in node.values():
            yield from _refs(member)
    elif isinstance(node, list):
        for member in node:
            yield from _refs(member)
