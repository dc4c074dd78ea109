"""What an engine can do. It knows tables, rows and generations; whose they are is in MongoDB."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.tool_retrieval.chunking import Window
from services.tool_retrieval.embedding.embedder import Vectors


class IndexAway(Exception):
    """It does not answer, now; another try may help."""


@dataclass(frozen=True)
class Table:
    """One vector store's windows with one embedder's vectors; ``dim`` is 0 where there are none.

    A table of its own for each store keeps what other stores hold out of the weights of words.
    """

    store_id: str
    embedder: str
    dim: int

    @property
    def name(self) -> str:
        return f"{self.store_id}-{hashlib.sha256(f'{self.embedder}:{self.dim}'.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Hit:
    """A window. ``cosine`` is None where there are no vectors to compare; ``bm25`` 0 if no word is found."""

    file_id: str
    gen: int
    window: Window
    cosine: float | None
    bm25: float


class Index(Protocol):
    """Every method but ``put`` is safe to repeat, and all to call for a table that is not there.

    Raises, from every method:
        IndexAway: the engine is away, or others were faster too often.
    """

    async def open(self) -> object:
        """Load what it needs; else its first use does."""
        ...

    async def put(
        self,
        table: Table,
        file_id: str,
        gen: int,
        windows: Sequence[Window],
        texts: Sequence[str],
        vectors: Vectors | None,
    ) -> None:
        """Add a generation of a file, once: all of its windows become visible together. Others stay."""
        ...

    async def delete(self, table: Table, file_id: str, *, below: int) -> None:
        """Remove the generations of a file that are older than ``below``."""
        ...

    async def delete_exactly(self, table: Table, file_id: str, gen: int) -> None:
        """Remove one generation of a file."""
        ...

    async def drop(self, table: Table) -> None: ...

    async def search(
        self,
        table: Table,
        query: str,
        vector: Vectors | None,
        *,
        limit: int,
        file_ids: Collection[str] | None = None,
    ) -> list[Hit]:
        """Return the best ``limit`` by words and as many by vector, each once; of ``file_ids`` if given."""
        ...

    async def generations(self, table: Table) -> set[tuple[str, int]]:
        """Return which files, in which generations, have windows in it."""
        ...

    async def maintain(self, table: Table) -> None:
        """Make it fast again after many changes. By one process at a time."""
        ...

    async def close(self) -> None: ...
