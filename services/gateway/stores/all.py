"""Everything the routes read and write."""

from dataclasses import dataclass
from typing import Self

from services.gateway.stores.assistants import AssistantStore
from services.gateway.stores.file_batches import FileBatchStore
from services.gateway.stores.keys import KeyStore
from services.gateway.stores.requests import RequestStore
from services.gateway.stores.threads import ThreadStore
from services.gateway.stores.usage import UsageStore
from shared.files.parsed import ParsedFiles
from shared.stores.database import Database
from shared.stores.files import FileStore
from shared.stores.messages import MessageStore
from shared.stores.runs import RunStore
from shared.stores.search_results import SearchResultStore
from shared.stores.vector_store_files import VectorStoreFiles
from shared.stores.vector_stores import VectorStores


@dataclass(frozen=True)
class Stores:
    assistants: AssistantStore
    threads: ThreadStore
    messages: MessageStore
    runs: RunStore
    files: FileStore
    vector_stores: VectorStores
    vector_store_files: VectorStoreFiles
    file_batches: FileBatchStore
    parsed_files: ParsedFiles
    search_results: SearchResultStore
    keys: KeyStore
    requests: RequestStore
    usage: UsageStore

    @classmethod
    def of(cls, db: Database) -> Self:
        return cls(
            AssistantStore(db),
            ThreadStore(db),
            MessageStore(db),
            RunStore(db),
            FileStore(db),
            VectorStores(db),
            VectorStoreFiles(db),
            FileBatchStore(db),
            ParsedFiles(db),
            SearchResultStore(db),
            KeyStore(db),
            RequestStore(db),
            UsageStore(db),
        )

    async def create_indexes(self) -> None:
        for store in (
            self.assistants,
            self.threads,
            self.messages,
            self.runs,
            self.files,
            self.vector_stores,
            self.vector_store_files,
            self.file_batches,
            self.search_results,
            self.requests,
        ):
            await store.create_indexes()
