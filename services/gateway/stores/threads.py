"""Threads in MongoDB. Their messages and runs are in ``shared/stores``."""

from services.gateway.stores.owned import CODE_FILES, OwnedStore
from shared.stores.database import ASCENDING, Database


class ThreadStore(OwnedStore):
    def __init__(self, db: Database) -> None:
        self._threads = db["threads"]
        super().__init__(self._threads)

    async def create_indexes(self) -> None:
        await super().create_indexes()
        await self._threads.create_index([("project_id", ASCENDING), (CODE_FILES, ASCENDING)])

    async def forget_file(self, project_id: str, file_id: str) -> None:
        """No thread names the file any more."""
        await self.pull(project_id, CODE_FILES, file_id)
