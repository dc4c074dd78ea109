"""Object ids in the form that clients of the original service know: a prefix and 24 letters or digits."""

import hashlib
import secrets
import string

from shared import clock

ALPHABET = string.ascii_letters + string.digits
LENGTH = 24  # 62**24 is more than 2**142: nobody guesses one


def new_id(prefix: str) -> str:
    """Draw an id, as in ``thread_AbC…``; ``prefix`` comes without its underscore."""
    return f"{prefix}_" + "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def new_file_id() -> str:
    """Draw the id of a file, which has a hyphen where others have an underscore."""
    return "file-" + new_id("")[1:]


def derived_id(prefix: str, *parts: object) -> str:
    """Return the id that follows from ``parts``: whoever repeats the work writes the same object.

    >>> derived_id("msg", "run_1", 2) == derived_id("msg", "run_1", 2)
    True
    >>> derived_id("msg", "run_1", 2) == derived_id("msg", "run_1", 3)
    False
    """
    number = int.from_bytes(hashlib.sha256("\0".join(map(str, parts)).encode()).digest(), "big")
    letters = []
    for _ in range(LENGTH):
        number, index = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[index])
    return f"{prefix}_" + "".join(letters)


def derived_file_id(*parts: object) -> str:
    """Return the id of a file that follows from ``parts``: see ``derived_id``."""
    return "file-" + derived_id("", *parts)[1:]


def new_sequence() -> int:
    """Return a sort key for lists whose members do not depend on one another (assistants, threads).

    Nanoseconds since 1970 with random low bits, below 2**63: finer than the seconds of
    ``created_at``, and two replicas do not draw the same one in practice.
    """
    return (int(clock.now() * 1e9) & ~0xFFF) | secrets.randbits(12)
