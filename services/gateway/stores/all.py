"""Everything the routes read and write."""

from dataclasses import dataclass
from typing import Self

from services.gateway.stores.assistants import AssistantStore
from services.gateway.stores.keys import KeyStore
from services.gateway.stores.requests import RequestStore
from services.gateway.stores.threads import ThreadStore
from services.gateway.stores.usage import UsageStore
from shared.stores.database import Database
from shared.stores.files import FileStore
from shared.stores.messages import MessageStore
from shared.stores.runs import RunStore
from shared.stores.search_results import SearchResultStore


@dataclass(frozen=True)
class Stores:
    assistants: AssistantStore
    threads: ThreadStore
    messages: MessageStore
    runs: RunStore
    files: FileStore
    keys: KeyStore
    requests: RequestStore
    usage: UsageStore
    search_results: SearchResultStore

    @classmethod
    def of(cls, db: Database) -> Self:
        return cls(
            AssistantStore(db),
            ThreadStore(db),
            MessageStore(db),
            RunStore(db),
            FileStore(db),
            KeyStore(db),
            RequestStore(db),
            UsageStore(db),
            SearchResultStore(db),
        )

    async def create_indexes(self) -> None:
        for store in (
            self.assistants,
            self.threads,
            self.messages,
            self.runs,
            self.files,
            self.requests,
            self.search_results,
        ):
            await store.create_indexes()
