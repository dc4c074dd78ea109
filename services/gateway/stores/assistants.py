"""Assistants in MongoDB."""

import json
from collections.abc import Callable

from services.gateway.stores.owned import CODE_FILES, OwnedStore
from shared.runs.model import Json
from shared.stores.database import ASCENDING, Database, Document
from shared.stores.page import PageQuery, find_page

V1_FILES = "files.id"
AS_TEXT = ("tools", "response_format")  # JSON Schemas have names that MongoDB keeps for itself, like $ref


class AssistantStore:
    def __init__(self, db: Database) -> None:
        self._assistants = db["assistants"]
        self._owned = OwnedStore(self._assistants)

    async def create_indexes(self) -> None:
        await self._owned.create_indexes()
        for files in (V1_FILES, CODE_FILES):
            await self._assistants.create_index([("project_id", ASCENDING), (files, ASCENDING)])

    async def add(self, assistant: Json) -> None:
        await self._owned.add(_packed(assistant))

    async def get(self, project_id: str, assistant_id: str) -> Document | None:
        found = await self._owned.get(project_id, assistant_id)
        return _unpacked(found) if found else None

    async def page(self, project_id: str, query: PageQuery) -> tuple[list[Document], bool]:
        scope = {"project_id": project_id, "live": True}
        page = await find_page(self._assistants, scope, query, owner={"project_id": project_id})
        return [_unpacked(document) for document in page.documents], page.has_more

    async def change(
        self, project_id: str, assistant_id: str, step: Callable[[Document], Json]
    ) -> Document | None:
        found = await self._owned.change(
            project_id, assistant_id, lambda before: _packed(step(_unpacked(before)))
        )
        return _unpacked(found) if found else None

    async def forget_file(self, project_id: str, file_id: str) -> None:
        """No assistant names the file any more."""
        await self._owned.pull(project_id, CODE_FILES, file_id)
        await self._owned.pull(project_id, V1_FILES, file_id)

    async def names_vector_store(self, project_id: str, vector_store_id: str) -> bool:
        return await self._owned.names_vector_store(project_id, vector_store_id)

    async def forget_vector_store(self, project_id: str, vector_store_id: str) -> None:
        await self._owned.forget_vector_store(project_id, vector_store_id)

    async def delete(self, project_id: str, assistant_id: str) -> bool:
        return await self._owned.delete(project_id, assistant_id)


def _packed(fields: Json) -> Document:
    return fields | {name: json.dumps(fields[name]) for name in AS_TEXT if name in fields}


def _unpacked(document: Document) -> Document:
    return document | {name: json.loads(document[name]) for name in AS_TEXT}
