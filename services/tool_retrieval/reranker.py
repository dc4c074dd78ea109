"""A second look at what was found, by a model that reads query and text together. Off unless configured."""

import asyncio
import json
import logging
import math
import time
from collections.abc import Sequence
from typing import Any, Protocol

import httpx2 as httpx

from services.tool_retrieval.settings import Settings

log = logging.getLogger(__name__)

TIMEOUT_S = 5.0
PAUSE_S = 10.0  # after a failure it is not asked: searches do not wait for one that is away


class Reranker(Protocol):
    async def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return for each text, from 0 to 1, how well it answers the query.

        Raises:
            RerankerError: it cannot say now.
        """
        ...

    async def close(self) -> None: ...


class RerankerError(Exception):
    """The reranker does not answer, or not what was asked."""


class HttpReranker:
    """Any server that speaks the ``/rerank`` of Cohere, Jina, Voyage, vLLM or llama.cpp."""

    def __init__(self, url: str, api_key: str, model: str) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.AsyncClient(base_url=url.rstrip("/") + "/", headers=headers, timeout=TIMEOUT_S)
        self._model = model
        self._asked_again_at = 0.0

    async def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        if not texts:
            return []
        if time.monotonic() < self._asked_again_at:
            raise RerankerError("it failed just now")
        body: dict[str, Any] = {"query": query, "documents": list(texts)}
        if self._model:
            body["model"] = self._model
        try:
            response = await self._client.post("rerank", json=body)
            if response.status_code != 200:
                raise RerankerError(f"{response.status_code} {response.text[:300]}")
            return _read(response.content, len(texts))
        except (httpx.HTTPError, RerankerError) as error:
            self._asked_again_at = time.monotonic() + PAUSE_S
            raise error if isinstance(error, RerankerError) else RerankerError(repr(error)) from error

    async def close(self) -> None:
        await self._client.aclose()


def reranker_for(settings: Settings) -> Reranker | None:
    if settings.rerank_url is None:
        return None
    key = settings.rerank_api_key.get_secret_value()
    return HttpReranker(str(settings.rerank_url), key, settings.rerank_model)


async def best_scores(reranker: Reranker, queries: Sequence[str], texts: Sequence[str]) -> list[float] | None:
    """Return what each text is worth for the query that it answers best; None if that cannot be said now."""
    try:
        per_query = await asyncio.gather(*(reranker.scores(query, texts) for query in queries))
    except RerankerError as error:
        log.warning("not reranked", extra={"reason": str(error)})
        return None
    return [max(values) for values in zip(*per_query, strict=True)]


def _read(answer: bytes, wanted: int) -> list[float]:
    try:
        whole = json.loads(answer)
        rows = whole["results"] if "results" in whole else whole["data"]  # Voyage's name for it
        found = {int(row["index"]): float(row["relevance_score"]) for row in rows}
        values = [found[place] for place in range(wanted)]
    except (KeyError, TypeError, ValueError) as error:
        raise RerankerError(f"its answer cannot be read: {error!r}") from error
    if not all(map(math.isfinite, values)):
        raise RerankerError("its answer holds what is no number")
    if all(0.0 <= value <= 1.0 for value in values):
        return values
    return [1.0 / (1.0 + math.exp(-min(max(value, -60.0), 60.0))) for value in values]  # some give logits
