"""The answers of vector stores, for the OpenAPI document and the tests: see ``objects.py``."""

from typing import Literal

from services.gateway.wire.objects import Answer


class FileCounts(Answer):
    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int


class ExpirationPolicy(Answer):
    anchor: Literal["last_active_at"]
    days: int


class VectorStoreObject(Answer):
    id: str
    object: Literal["vector_store"]
    created_at: int
    name: str | None
    description: str | None
    usage_bytes: int
    file_counts: FileCounts
    status: Literal["expired", "in_progress", "completed"]
    expires_after: ExpirationPolicy | None
    expires_at: int | None
    last_active_at: int
    metadata: dict[str, str]


class VectorStoreDeleted(Answer):
    id: str
    object: Literal["vector_store.deleted"]
    deleted: Literal[True]


class FileError(Answer):
    code: Literal["server_error", "unsupported_file", "invalid_file"]
    message: str


class ChunkSizesObject(Answer):
    max_chunk_size_tokens: int
    chunk_overlap_tokens: int


class ChunkingObject(Answer):
    type: Literal["static"]
    static: ChunkSizesObject


class VectorStoreFileObject(Answer):
    id: str
    object: Literal["vector_store.file"]
    usage_bytes: int
    created_at: int
    vector_store_id: str
    status: Literal["in_progress", "completed", "cancelled", "failed"]
    last_error: FileError | None
    chunking_strategy: ChunkingObject
    attributes: dict[str, str | bool | float]


class VectorStoreFileDeleted(Answer):
    id: str
    object: Literal["vector_store.file.deleted"]
    deleted: Literal[True]


class FileBatchObject(Answer):
    id: str
    object: Literal["vector_store.file_batch"]
    created_at: int
    status: Literal["in_progress", "completed", "cancelled", "failed"]
    vector_store_id: str
    file_counts: FileCounts


class TextObject(Answer):
    type: Literal["text"]
    text: str


class FileContentPage(Answer):
    object: Literal["vector_store.file_content.page"]
    data: list[TextObject]
    has_more: bool
    next_page: str | None


class SearchResultObject(Answer):
    file_id: str
    filename: str
    score: float
    attributes: dict[str, str | bool | float]
    content: list[TextObject]


class SearchResultsPage(Answer):
    object: Literal["vector_store.search_results.page"]
    search_query: list[str]
    data: list[SearchResultObject]
    has_more: bool
    next_page: str | None
