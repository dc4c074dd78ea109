"""Metadata of stored objects: a modification adds to it."""

from collections.abc import Mapping

from services.gateway.wire.fields import MOST_METADATA
from shared.errors import InvalidRequest


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
