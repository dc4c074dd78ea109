"""What a run works on beside its thread: files for its code, vector stores, what its searches found."""

from collections.abc import Mapping, Sequence

from services.run_orchestrator.file_search import offers_search
from services.run_orchestrator.files import RunFiles
from services.run_orchestrator.passages import FoundPassages, cited_before
from services.run_orchestrator.prompt import Beside
from services.run_orchestrator.searchable import RunStores
from shared.runs.model import Json, Run
from shared.stores.database import Document


class Surroundings:
    def __init__(self, files: RunFiles, stores: RunStores, passages: FoundPassages) -> None:
        self.stores = stores
        self._files = files
        self._passages = passages

    async def of(self, run: Run, window: int) -> Beside:
        """Read all of it; ``window`` is what the model takes.

        Raises:
            PyMongoError: the store does not answer.
        """
        return Beside(
            await self._files.for_code(run),
            await self.stores.described(run),
            await self._passages.of(run, window),
        )


def sources_of(run: Run, thread: Sequence[Document], beside: Beside) -> Mapping[str, Json] | None:
    """What the markers that the model saw refer to; None if it cannot know of any."""
    sources = cited_before(thread) | dict(beside.passages.sources)
    return sources if sources or offers_search(run) else None
