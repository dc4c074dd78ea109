"""The query parameter ``include[]``: what answers hold only when asked for."""

from typing import Annotated, Literal

from fastapi import Query

SEARCH_CONTENT = "step_details.tool_calls[*].file_search.results[*].content"
Include = Literal["step_details.tool_calls[*].file_search.results[*].content"]


def check_includes(
    bracketed: Annotated[list[Include] | None, Query(alias="include[]")] = None,
    plain: Annotated[list[Include] | None, Query(alias="include", include_in_schema=False)] = None,
) -> bool:
    """Return whether the content of search results is wanted; anything else is refused."""
    return SEARCH_CONTENT in [*(bracketed or []), *(plain or [])]
