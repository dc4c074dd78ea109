"""Threads in MongoDB. Their messages and runs are in ``shared/stores``."""

from collections.abc import Mapping

from services.gateway.stores.owned import CODE_FILES, OwnedStore
from shared.stores.database import ASCENDING, Database, Document
from shared.stores.page import PageQuery, find_page


class ThreadStore(OwnedStore):
    def __init__(self, db: Database) -> None:
        self._threads = db["threads"]
        super().__init__(self._threads)

    async def create_indexes(self) -> None:
        await super().create_indexes()
        await self._threads.create_index([("project_id", ASCENDING), (CODE_FILES, ASCENDING)])

    async def page(
        self, project_id: str, query: PageQuery, metadata: Mapping[str, str]
    ) -> tuple[list[Document], bool]:
        """Those that have all of ``metadata``. No index knows it: the project's threads are looked through.

        Its keys hold no dot and begin with no dollar sign, since they become part of a path.
        """
        scope = {"project_id": project_id, "live": True}
        wanted = {f"metadata.{key}": value for key, value in metadata.items()}
        page = await find_page(self._threads, scope | wanted, query, owner={"project_id": project_id})
        return page.documents, page.has_more

    async def forget_file(self, project_id: str, file_id: str) -> None:
        """No thread names the file any more."""
        await self.pull(project_id, CODE_FILES, file_id)
