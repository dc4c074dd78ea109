"""Everything tool_retrieval reads from its environment, beside what all services read."""

import sys
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, HttpUrl, PositiveFloat, PositiveInt, SecretStr, model_validator

from shared.files.settings import FileSettings


class Settings(FileSettings):
    port: PositiveInt = 8083

    # none: keywords alone. Another embedder than before: all files are embedded anew, in the background.
    embedder: Literal["local", "openai", "none"] = "local"
    embedder_threads: PositiveInt = 2  # of the local one
    # where the local one's graph is built, once: with the packages, so that all who use them share it
    model_folder: Path = Path(sys.prefix, "share", "threadmill")
    embedding_url: HttpUrl = HttpUrl("http://localhost:8000/v1")  # any OpenAI-compatible server's
    embedding_api_key: SecretStr = SecretStr("")
    embedding_model: str = ""
    embedding_dimensions: PositiveInt = 1536
    embedding_batch: PositiveInt = Field(128, le=2048)  # texts in one request

    rerank_url: HttpUrl | None = None  # of a server with /rerank, as http://localhost:8000/v1; None: off
    rerank_api_key: SecretStr = SecretStr("")
    rerank_model: str = ""

    index: Literal["lancedb", "milvus"] = "lancedb"
    milvus_url: HttpUrl = HttpUrl("http://localhost:19530")
    milvus_token: SecretStr = SecretStr("")  # user:password, or a key
    milvus_analyzer: str = "english"  # how it cuts text into words
    index_url: str = (
        ".threadmill/index"  # of LanceDB: a folder, or s3://bucket/folder (with the keys of s3_*)
    )

    ingest: bool = True  # whether this process takes files in
    search: bool = True  # and whether it searches
    concurrent_files: PositiveInt = 4
    concurrent_searches: PositiveInt = 16
    lease_s: PositiveFloat = 15.0  # a worker silent for this long loses its file or its search
    sweep_s: PositiveFloat = 5.0
    audit_s: PositiveFloat = 3600.0  # how often the index is held against the files that should be in it

    @model_validator(mode="after")
    def _name_the_model(self) -> Self:
        if self.embedder == "openai" and not self.embedding_model:
            raise ValueError("THREADMILL_EMBEDDING_MODEL must be set for the embedder openai")
        return self
