"""One request, however often a client has to send it: what it makes has the same ids each time."""

import secrets
from collections import Counter

from shared.ids import derived_id


class Attempt:
    """``again``: an earlier try may have done it already, in full or in part."""

    def __init__(self, seed: str = "", *, again: bool = False) -> None:
        self.again = again
        self._seed = seed or new_seed()
        self._drawn: Counter[str] = Counter()

    def new_id(self, prefix: str) -> str:
        """Return the next id of this kind of object; every try is given the same ones in the same order."""
        self._drawn[prefix] += 1
        return self._nth(prefix, self._drawn[prefix])

    def first_id(self, prefix: str) -> str:
        """Return the id that an earlier try gave to its first object of this kind."""
        return self._nth(prefix, 1)

    def _nth(self, prefix: str, n: int) -> str:
        return derived_id(prefix, self._seed, n)


def new_seed() -> str:
    return secrets.token_hex(16)
