"""The embedder that the settings name, loaded when it is first needed."""

import asyncio
import logging

from services.tool_retrieval.embedding import model_file
from services.tool_retrieval.embedding.embedder import Embedder
from services.tool_retrieval.embedding.model_file import NoWeights
from services.tool_retrieval.settings import Settings

log = logging.getLogger(__name__)


class Embedding:
    """``state`` says in words which one it is, or why there is none: then keywords alone are searched."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loading: asyncio.Task[Embedder | None] | None = None
        self.state = "ok not loaded yet"

    async def get(self) -> Embedder | None:
        """Return the embedder; None: there is none."""
        if self._loading is None:
            self._loading = asyncio.create_task(self._load())
        return await asyncio.shield(self._loading)

    async def close(self) -> None:
        if self._loading is None:
            return
        self._loading.cancel()
        await asyncio.wait([self._loading])
        if not self._loading.cancelled() and (embedder := self._loading.result()):
            await embedder.close()

    async def _load(self) -> Embedder | None:
        try:
            embedder = await self._build()
        except (NoWeights, ImportError, OSError) as error:
            log.warning("no embedder: only keywords are searched", extra={"reason": str(error)})
            self.state = f"ok none: {error}"
            return None
        self.state = f"ok {embedder.id}" if embedder else "ok none: as configured"
        return embedder

    async def _build(self) -> Embedder | None:
        settings = self._settings
        if settings.embedder == "none":
            return None
        if settings.embedder == "openai":
            from services.tool_retrieval.embedding.openai import OpenAIEmbedder

            return OpenAIEmbedder(
                str(settings.embedding_url),
                settings.embedding_api_key.get_secret_value(),
                settings.embedding_model,
                settings.embedding_dimensions,
                settings.embedding_batch,
            )
        return await asyncio.to_thread(_local, settings)


def _local(settings: Settings) -> Embedder:
    graph = model_file.graph_file(settings.model_folder)
    from services.tool_retrieval.embedding.local import LocalEmbedder

    return LocalEmbedder(graph, settings.embedder_threads)
