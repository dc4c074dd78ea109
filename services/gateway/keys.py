"""API keys as text: ``sk-tm-<kid>-<random>``. The store knows only the kid and a fingerprint of the whole."""

import hashlib
import hmac
import re
import secrets

from shared.ids import ALPHABET

KID_LENGTH = 12
SECRET_LENGTH = 43  # 62**43 is more than 2**256, which is why a fast fingerprint is enough
FORM = re.compile(rf"sk-tm-([A-Za-z0-9]{{{KID_LENGTH}}})-[A-Za-z0-9]{{{SECRET_LENGTH}}}")
SCOPES = ("read", "write", "admin")


def new_key() -> tuple[str, str]:
    """Draw a key; return its kid and the key itself."""
    kid = _letters(KID_LENGTH)
    return kid, f"sk-tm-{kid}-{_letters(SECRET_LENGTH)}"


def kid_of(key: str) -> str | None:
    """
    >>> kid_of("sk-tm-abcdefghijkl-" + "x" * 43), kid_of("sk-other")
    ('abcdefghijkl', None)
    """
    found = FORM.fullmatch(key)
    return found.group(1) if found else None


def fingerprint(key: str, pepper: str) -> str:
    """What is stored of a key: useless without the pepper, which is not in the store."""
    return hmac.new(pepper.encode(), key.encode(), hashlib.sha256).hexdigest()


def _letters(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
