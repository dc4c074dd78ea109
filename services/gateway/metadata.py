"""Metadata of stored objects: a modification adds to it, and a list may ask for it."""

import re
from collections.abc import Mapping
from typing import Annotated, TypeAlias

from fastapi import Depends, Request

from services.gateway.wire.fields import MOST_METADATA
from shared.errors import InvalidRequest
from shared.runs.model import Json

METADATA_PARAMETER: Json = {
    "name": "metadata",
    "in": "query",
    "required": False,
    "description": "`metadata[key]=value`: only objects whose metadata has exactly this value; several must "
    "all match. A key that holds a dot, or begins with a dollar sign, cannot be asked for.",
    "style": "deepObject",
    "explode": True,
    "schema": {"type": "object", "maxProperties": MOST_METADATA, "additionalProperties": {"type": "string"}},
}
_PARAMETER = re.compile(r"metadata\[([^$.\0][^.\0]*)\]", re.DOTALL)


def merged(stored: Mapping[str, str], given: Mapping[str, str] | None) -> dict[str, str]:
    """Return ``stored`` with the entries of ``given``; None changes nothing.

    Raises:
        InvalidRequest: together they are more than an object may have.
    """
    both = {**stored, **(given or {})}
    if len(both) > MOST_METADATA:
        raise InvalidRequest(
            f"Invalid 'metadata': too many properties. Expected an object with at most {MOST_METADATA} "
            f"properties, but got an object with {len(both)} properties instead.",
            param="metadata",
            code="object_above_max_properties",
        )
    return both


def metadata_filter(request: Request) -> dict[str, str]:
    """Return what the query says as ``metadata[key]=value``.

    Raises:
        InvalidRequest: it says so in another way, or too much.
    """
    wanted: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if not name.startswith("metadata"):
            continue
        found = _PARAMETER.fullmatch(name)
        if found is None or wanted.get(found[1], value) != value:
            raise InvalidRequest(
                f"Invalid '{name}': expected metadata[key]=value, once for each key, which holds no dot and "
                "begins with no dollar sign.",
                param="metadata",
                code="invalid_value",
            )
        wanted[found[1]] = value
    return merged(wanted, None)


MetadataFilter: TypeAlias = Annotated[dict[str, str], Depends(metadata_filter)]
