"""How the text of a file is cut before it is indexed."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from services.gateway.wire.fields import RequestBody, refusal
from shared.runs.model import Json

DEFAULT: Json = {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}


class AutoChunking(RequestBody):
    type: Literal["auto"]

    def stored(self) -> Json:
        return DEFAULT


class ChunkSizes(RequestBody):
    max_chunk_size_tokens: int = Field(ge=100, le=4096)
    chunk_overlap_tokens: int = Field(ge=0)

    @model_validator(mode="after")
    def _overlaps_by_half_at_most(self) -> "ChunkSizes":
        if 2 * self.chunk_overlap_tokens > self.max_chunk_size_tokens:
            message = (
                "Invalid '{path}': integer above maximum value. Expected a value <= "
                f"{self.max_chunk_size_tokens // 2}, which is half of 'max_chunk_size_tokens', "
                f"but got {self.chunk_overlap_tokens} instead."
            )
            raise refusal(message, code="integer_above_max_value", at=".chunk_overlap_tokens")
        return self


class StaticChunking(RequestBody):
    type: Literal["static"]
    static: ChunkSizes

    def stored(self) -> Json:
        return self.static.model_dump()


Chunking: TypeAlias = Annotated[AutoChunking | StaticChunking, Field(discriminator="type")]


def stored_chunking(chunking: Chunking | None) -> Json:
    return DEFAULT if chunking is None else chunking.stored()


def chunking_view(stored: Json) -> Json:
    """Always told as what it came to."""
    return {"type": "static", "static": stored}
