"""What the tools may work on: files and vector stores of an assistant, a thread or a run."""

from collections.abc import Iterator, Sequence

from pydantic import Field

from services.gateway.wire.fields import Metadata, RequestBody
from shared.runs.model import Json

MOST_FILES = 20


class CodeInterpreterResources(RequestBody):
    file_ids: list[str] | None = Field(None, max_length=MOST_FILES)


class VectorStoreHelper(RequestBody):
    """A vector store to be made together with the object that uses it."""

    file_ids: list[str] | None = Field(None, max_length=10_000)
    chunking_strategy: Json | None = None
    metadata: Metadata | None = None


class FileSearchResources(RequestBody):
    vector_store_ids: list[str] | None = Field(None, max_length=1)


class FileSearchResourcesOrHelper(FileSearchResources):
    vector_stores: list[VectorStoreHelper] | None = Field(None, max_length=1)


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


def vector_stores(resources: Json) -> list[str]:
    stores: list[str] = resources.get("file_search", {}).get("vector_store_ids", [])
    return stores


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
