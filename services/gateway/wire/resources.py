"""What the tools may work on: files and vector stores of an assistant, a thread or a run."""

from collections.abc import Iterator, Sequence
from typing import Self

from pydantic import Field, model_validator

from services.gateway.wire.chunking import Chunking
from services.gateway.wire.fields import Metadata, RequestBody, refusal
from services.gateway.wire.vector_stores import MOST_FILES as MOST_IN_STORE
from services.gateway.wire.vector_stores import NewFile, new_files
from shared.runs.model import Json

MOST_FILES = 20


class CodeInterpreterResources(RequestBody):
    file_ids: list[str] | None = Field(None, max_length=MOST_FILES)


class VectorStoreHelper(RequestBody):
    """A vector store to be made together with the object that uses it."""

    file_ids: list[str] | None = Field(None, max_length=MOST_IN_STORE)
    chunking_strategy: Chunking | None = None
    metadata: Metadata | None = None

    def new_files(self) -> list[NewFile]:
        return new_files(self.file_ids or (), self.chunking_strategy)


class FileSearchResources(RequestBody):
    vector_store_ids: list[str] | None = Field(None, max_length=1)


class FileSearchResourcesOrHelper(FileSearchResources):
    vector_stores: list[VectorStoreHelper] | None = Field(None, max_length=1)

    @model_validator(mode="after")
    def _named_or_described(self) -> Self:
        if self.vector_store_ids and self.vector_stores:
            message = (
                "Mutually exclusive parameters: '{path}' and 'vector_store_ids'. "
                "Ensure you are only providing one of them."
            )
            raise refusal(message, code="mutually_exclusive_parameters", at=".vector_stores")
        return self


class ToolResources(RequestBody):
    code_interpreter: CodeInterpreterResources | None = None
    file_search: FileSearchResources | None = None

    def stored(self) -> Json:
        """The tools that the request names, each with its list."""
        stored: Json = {}
        if self.code_interpreter is not None:
            stored["code_interpreter"] = {"file_ids": self.code_interpreter.file_ids or []}
        if self.file_search is not None:
            stored["file_search"] = {"vector_store_ids": self.file_search.vector_store_ids or []}
        return stored

    def file_ids(self) -> Iterator[str]:
        if self.code_interpreter:
            yield from self.code_interpreter.file_ids or []
        for helper in self.helpers():
            yield from helper.file_ids or []

    def vector_store_ids(self) -> list[str]:
        return (self.file_search and self.file_search.vector_store_ids) or []

    def helpers(self) -> list[VectorStoreHelper]:
        return []


def with_code_files(resources: Json, file_ids: Sequence[str]) -> Json:
    """Return ``resources`` with ``file_ids`` for the code interpreter added."""
    if not file_ids:
        return resources
    both = [*code_files(resources), *file_ids]
    return resources | {"code_interpreter": {"file_ids": list(dict.fromkeys(both))}}


def code_files(resources: Json) -> list[str]:
    files: list[str] = resources.get("code_interpreter", {}).get("file_ids", [])
    return files


def with_vector_store(resources: Json, vector_store_id: str) -> Json:
    return resources | {"file_search": {"vector_store_ids": [vector_store_id]}}


def searched(resources: Json) -> list[str]:
    """The vector store that file search looks into, if there is one."""
    vector_store_ids: list[str] = resources.get("file_search", {}).get("vector_store_ids", [])
    return vector_store_ids


def joined(one: Json, other: Json) -> Json:
    """Return what both hold, for each tool: what a run may work on."""
    both: Json = {}
    for tool in dict.fromkeys((*one, *other)):
        lists = [resources.get(tool, {}) for resources in (one, other)]
        names = dict.fromkeys(name for each in lists for name in each)
        both[tool] = {
            name: list(dict.fromkeys(member for each in lists for member in each.get(name, ())))
            for name in names
        }
    return both


class NewToolResources(ToolResources):
    """On creation a vector store may be described in place of being named."""

    file_search: FileSearchResourcesOrHelper | None = None

    def helpers(self) -> list[VectorStoreHelper]:
        return (self.file_search and self.file_search.vector_stores) or []
