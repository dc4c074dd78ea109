"""Vector stores: requests, and the objects: the store, its files, batches of them, what a search found."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from services.gateway.wire.attributes import Attributes, Filter
from services.gateway.wire.chunking import Chunking, chunking_view, stored_chunking
from services.gateway.wire.fields import LONGEST_TEXT, Metadata, RequestBody
from shared.errors import InvalidRequest
from shared.runs.model import Json
from shared.stores.database import Document
from shared.stores.files import NEVER
from shared.stores.vector_store_files import Totals
from shared.stores.vector_stores import has_expired

MOST_FILES = 10_000  # of a vector store
MOST_AT_CREATION = 500
MOST_IN_BATCH = 2_000
HELPER_DAYS = 7
COUNTED = ("in_progress", "completed", "failed", "cancelled")


class ExpiresAfter(RequestBody):
    anchor: Literal["last_active_at"]
    days: int = Field(ge=1, le=365)


class ModifyVectorStore(RequestBody):
    name: str | None = None
    expires_after: ExpiresAfter | None = None
    metadata: Metadata | None = None

    def changes(self) -> Json:
        """What the request sets, in the stored form. Null stands for none, but leaves the metadata."""
        changes: Json = {name: getattr(self, name) for name in self.model_fields_set & {"name"}}
        if "expires_after" in self.model_fields_set:
            changes["expires_after"] = self.expires_after.model_dump() if self.expires_after else None
        return changes


class CreateVectorStore(ModifyVectorStore):
    description: str | None = None
    file_ids: list[str] | None = Field(None, max_length=MOST_AT_CREATION)
    chunking_strategy: Chunking | None = None

    def new_files(self) -> "list[NewFile]":
        return new_files(self.file_ids or (), self.chunking_strategy)


class NewFile(RequestBody):
    """A file to be put into a vector store."""

    file_id: str
    chunking_strategy: Chunking | None = None
    attributes: Attributes | None = None

    def chunking(self) -> Json:
        return stored_chunking(self.chunking_strategy)


class CreateFileBatch(RequestBody):
    file_ids: list[str] | None = Field(None, min_length=1, max_length=MOST_IN_BATCH)
    files: list[NewFile] | None = Field(None, min_length=1, max_length=MOST_IN_BATCH)
    chunking_strategy: Chunking | None = None
    attributes: Attributes | None = None

    def new_files(self) -> list[NewFile]:
        """
        Raises:
            InvalidRequest: the request names its files in both ways, or in none.
        """
        if self.file_ids is not None and self.files is not None:
            raise InvalidRequest(
                "Mutually exclusive parameters: 'file_ids' and 'files'. "
                "Ensure you are only providing one of them.",
                param="files",
                code="mutually_exclusive_parameters",
            )
        if self.files is not None:
            return list({file.file_id: file for file in self.files}.values())
        if self.file_ids is None:
            raise InvalidRequest(
                "Missing required parameter: 'file_ids'.", param="file_ids", code="missing_required_parameter"
            )
        return new_files(self.file_ids, self.chunking_strategy, self.attributes)


class SetAttributes(RequestBody):
    attributes: Attributes | None


class SearchRanking(RequestBody):
    ranker: Literal["none", "auto", "default-2024-11-15"] = "auto"
    score_threshold: float = Field(0.0, ge=0, le=1)


Query: TypeAlias = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]


def _kind(value: Any) -> str:
    return "|several" if isinstance(value, list) else "|one"


class SearchVectorStore(RequestBody):
    query: Annotated[
        Annotated[Query, Tag("|one")] | Annotated[list[Query], Field(min_length=1), Tag("|several")],
        Discriminator(_kind),
    ]
    rewrite_query: bool | None = None
    max_num_results: int | None = Field(None, ge=1, le=50)
    filters: Filter | None = None
    ranking_options: SearchRanking | None = None

    def queries(self) -> tuple[str, ...]:
        return (self.query,) if isinstance(self.query, str) else tuple(self.query)


def new_files(
    file_ids: Iterable[str], chunking: Chunking | None = None, attributes: Json | None = None
) -> list[NewFile]:
    """Each file once, all of them alike."""
    return [
        NewFile(file_id=file_id, chunking_strategy=chunking, attributes=attributes)
        for file_id in dict.fromkeys(file_ids)
    ]


def expires_after_days(days: int) -> Json:
    return {"anchor": "last_active_at", "days": days}


def vector_store_view(stored: Document, totals: Totals, now: float) -> Json:
    counts = counts_view(totals)
    expired = has_expired(stored, now)
    return {
        "id": stored["_id"],
        "object": "vector_store",
        "created_at": stored["created_at"],
        "name": stored["name"],
        "description": stored["description"],
        "usage_bytes": totals.usage_bytes,
        "file_counts": counts,
        "status": "expired" if expired else "in_progress" if counts["in_progress"] else "completed",
        "expires_after": stored["expires_after"],
        "expires_at": None if stored["gone_at"] == NEVER else int(stored["gone_at"]),
        "last_active_at": stored["last_active_at"],
        "metadata": stored["metadata"],
    }


def vector_store_file_view(stored: Document) -> Json:
    return {
        "id": stored["file_id"],
        "object": "vector_store.file",
        "usage_bytes": stored["usage_bytes"],
        "created_at": stored["created_at"],
        "vector_store_id": stored["vector_store_id"],
        "status": stored["status"],
        "last_error": stored["last_error"],
        "chunking_strategy": chunking_view(stored["chunking"]),
        "attributes": stored["attributes"],
    }


def file_batch_view(stored: Document, totals: Totals) -> Json:
    counts = counts_view(totals)
    status = "in_progress" if counts["in_progress"] else "completed"
    if stored["cancelled"]:
        status = "cancelled"
    elif counts["failed"] and counts["failed"] == counts["total"]:
        status = "failed"
    return {
        "id": stored["_id"],
        "object": "vector_store.file_batch",
        "created_at": stored["created_at"],
        "status": status,
        "vector_store_id": stored["vector_store_id"],
        "file_counts": counts,
    }


def counts_view(totals: Totals) -> dict[str, int]:
    counts = {status: totals.files.get(status, 0) for status in COUNTED}
    return counts | {"total": sum(totals.files.values())}


def content_view(text: str | None) -> Json:
    """The text of a file; None for one that has none (yet)."""
    data = [] if text is None else [{"type": "text", "text": text}]
    return {
        "object": "vector_store.file_content.page",
        "data": data,
        "has_more": False,
        "next_page": None,
    }


def search_view(queries: Sequence[str], results: Sequence[Json]) -> Json:
    """``results`` as they are in the store of search results, best first."""
    return {
        "object": "vector_store.search_results.page",
        "search_query": list(queries),
        "data": [
            {
                "file_id": result["file_id"],
                "filename": result["file_name"],
                "score": result["score"],
                "attributes": result["attributes"],
                "content": [{"type": "text", "text": result["text"]}],
            }
            for result in results
        ],
        "has_more": False,
        "next_page": None,
    }
