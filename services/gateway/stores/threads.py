"""Threads in MongoDB. Their messages and runs are in ``shared/stores``."""

from services.gateway.stores.owned import OwnedStore
from shared.stores.database import Database


class ThreadStore(OwnedStore):
    def __init__(self, db: Database) -> None:
        super().__init__(db["threads"])
