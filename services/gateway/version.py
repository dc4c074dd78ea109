"""Which version of the API a request speaks. The version belongs to the request, not to the objects."""

from enum import IntEnum

from shared.errors import InvalidRequest

MISSING = (
    "You must provide the 'OpenAI-Beta' header to access the Assistants API. "
    "Please try again by setting the header 'OpenAI-Beta: assistants=v2'."
)
UNKNOWN = (
    "The Assistants API has no version '{}'. "
    "Please try again by setting the header 'OpenAI-Beta: assistants=v2'."
)
ENTRY = "assistants="


class Version(IntEnum):
    V1 = 1
    V2 = 2


BY_NAME = {"v1": Version.V1, "v2": Version.V2}


def negotiate(header: str | None, *, default: Version | None = None) -> Version:
    """Read the ``OpenAI-Beta`` header: a comma separated list, of which the highest version counts.

    ``default`` is for a header that names no version of this API.

    Raises:
        InvalidRequest: the header names no version of this API, or one that does not exist.

    >>> negotiate("realtime=v1, assistants=v1")
    <Version.V1: 1>
    """
    entries = [entry.strip() for entry in (header or "").split(",")]
    names = [entry.removeprefix(ENTRY) for entry in entries if entry.startswith(ENTRY)]
    if not names and default is not None:
        return default
    if not names:
        raise InvalidRequest(MISSING, code="invalid_beta")
    for name in names:
        if name not in BY_NAME:
            raise InvalidRequest(UNKNOWN.format(name), code="invalid_beta")
    return max(BY_NAME[name] for name in names)
