"""What an embedder can do."""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Kind: TypeAlias = Literal["query", "document"]
Vectors: TypeAlias = NDArray[np.float32]


class EmbedderError(Exception):
    """It does not answer, now; another try may help."""


class Embedder(Protocol):
    """``id`` changes whenever vectors made before are of no use any more."""

    id: str
    dim: int

    async def fits(self, texts: Sequence[str]) -> list[bool]:
        """Whether each is short enough to be read to its end."""
        ...

    async def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """Return one vector of length 1 for each text.

        Raises:
            EmbedderError: try again later.
        """
        ...

    async def close(self) -> None: ...
