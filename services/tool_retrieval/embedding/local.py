"""all-MiniLM-L6-v2 in this process: no key, no download, no connection."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from services.tool_retrieval.embedding import model_file
from services.tool_retrieval.embedding.embedder import Kind, Vectors

if TYPE_CHECKING:
    from tokenizers import Encoding

MOST_WORDPIECES = 254  # with the two marks around them: what the model was trained on
BATCH = 8  # as fast as more, in less memory


class LocalEmbedder:
    """Loaded once ``load`` returned. Queries have a thread of their own: they wait for no file."""

    id = "all-MiniLM-L6-v2"
    dim = 384

    def __init__(self, graph: Path, threads: int) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session: Any = onnxruntime.InferenceSession(
            str(graph), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(model_file.carrier() / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="embed")
        self._at_once = ThreadPoolExecutor(1, thread_name_prefix="embed-query")

    async def fits(self, texts: Sequence[str]) -> list[bool]:
        encodings = await self._encode(texts)
        return [len(encoding.ids) <= MOST_WORDPIECES + 2 for encoding in encodings]

    async def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        loop = asyncio.get_running_loop()
        encodings = await self._encode(texts)
        ids = [encoding.ids for encoding in encodings]
        order = sorted(range(len(ids)), key=lambda place: len(ids[place]))
        batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        pool = self._at_once if kind == "query" else self._pool
        tasks = [loop.run_in_executor(pool, self._run, [ids[n] for n in batch]) for batch in batches]
        vectors = np.empty((len(texts), self.dim), np.float32)
        try:
            for batch, task in zip(batches, tasks, strict=True):
                vectors[batch] = await task
        finally:
            for task in tasks:
                task.cancel()
        return vectors

    async def close(self) -> None:
        for pool in (self._pool, self._at_once):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _encode(self, texts: Sequence[str]) -> "list[Encoding]":
        return await asyncio.to_thread(self._tokenizer.encode_batch, list(texts))

    def _run(self, all_ids: list[list[int]]) -> NDArray[np.float32]:
        cut = [
            ids if len(ids) <= MOST_WORDPIECES + 2 else [*ids[: MOST_WORDPIECES + 1], ids[-1]]
            for ids in all_ids
        ]
        length = max(map(len, cut))
        padded = np.zeros((len(cut), length), np.int64)
        mask = np.zeros((len(cut), length), np.int64)
        for row, ids in enumerate(cut):
            padded[row, : len(ids)] = ids
            mask[row, : len(ids)] = 1
        found: NDArray[np.float32] = self._session.run(
            ["embedding"], {"input_ids": padded, "attention_mask": mask}
        )[0]
        return found
