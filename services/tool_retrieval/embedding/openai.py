"""Vectors of any server that speaks OpenAI's ``/v1/embeddings``."""

import asyncio
import json
import logging
from collections.abc import Sequence
from contextlib import nullcontext

import httpx2 as httpx
import numpy as np

from services.tool_retrieval.embedding.embedder import EmbedderError, Kind, Vectors
from shared.backoff import backoff_s

log = logging.getLogger(__name__)

TRIES = {"query": 2, "document": 6}
TIMEOUT_S = {"query": 10.0, "document": 60.0}
MOST_PAUSE_S = 30.0
AT_ONCE = 4  # requests for documents; a query waits for none of them


class OpenAIEmbedder:
    def __init__(self, url: str, api_key: str, model: str, dimensions: int, batch: int) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.AsyncClient(base_url=url.rstrip("/") + "/", headers=headers)
        self._batch = batch
        self._model = model
        self._free = asyncio.Semaphore(AT_ONCE)
        self.id = f"{model}@{dimensions}"
        self.dim = dimensions

    async def fits(self, texts: Sequence[str]) -> list[bool]:
        return [True] * len(texts)  # some 8,000 tokens do

    async def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        parts = [list(texts[start : start + self._batch]) for start in range(0, len(texts), self._batch)]
        found = await asyncio.gather(*(self._request(part, kind) for part in parts))
        vectors = np.concatenate(found) if found else np.empty((0, self.dim), np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        whole: Vectors = vectors / np.maximum(lengths, 1e-12)
        return whole

    async def close(self) -> None:
        await self._client.aclose()

    async def _request(self, texts: list[str], kind: Kind) -> Vectors:
        body = {"model": self._model, "input": texts, "encoding_format": "float", "dimensions": self.dim}
        for attempt in range(1, TRIES[kind] + 1):
            pause_s = backoff_s(attempt, first_s=0.5, most_s=MOST_PAUSE_S)
            try:
                async with self._free if kind == "document" else nullcontext():
                    response = await self._client.post("embeddings", json=body, timeout=TIMEOUT_S[kind])
            except httpx.HTTPError as error:
                problem = repr(error)
            else:
                if response.status_code == 400 and "dimensions" in body and "dimension" in response.text:
                    del body["dimensions"]  # a model that has one size only
                    pause_s, problem = 0.0, response.text[:300]
                elif response.status_code == 200:
                    return self._read(response.content, len(texts))
                else:
                    problem = f"{response.status_code} {response.text[:300]}"
                    if response.status_code < 500 and response.status_code not in (408, 409, 429):
                        raise EmbedderError(f"the embedder refuses: {problem}")
                    pause_s = _asked_to_wait(response.headers.get("retry-after")) or pause_s
            log.warning("the embedder does not answer", extra={"reason": problem, "attempt": attempt})
            if attempt < TRIES[kind]:
                await asyncio.sleep(pause_s)
        raise EmbedderError(f"the embedder does not answer: {problem}")

    def _read(self, answer: bytes, wanted: int) -> Vectors:
        try:
            ordered = sorted(json.loads(answer)["data"], key=lambda each: each["index"])
            vectors = np.array([each["embedding"] for each in ordered], np.float32)
        except (KeyError, TypeError, ValueError) as error:
            raise EmbedderError(f"the embedder's answer cannot be read: {error!r}") from error
        if vectors.shape != (wanted, self.dim):
            sizes = f"{vectors.shape}, not {(wanted, self.dim)}"
            raise EmbedderError(f"the embedder gave {sizes}: see THREADMILL_EMBEDDING_DIMENSIONS")
        return vectors


def _asked_to_wait(header: str | None) -> float:
    try:
        return min(float(header or 0), MOST_PAUSE_S)
    except ValueError:
        return 0.0
