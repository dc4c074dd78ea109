"""A tool call's token: proof that a result answers a call that the orchestrator made."""

import hashlib
import hmac

from pydantic import SecretStr


def call_token(secret: SecretStr, project_id: str, run_id: str, call_id: str) -> str:
    """Sign the call; whoever may write to the results topic cannot make one up."""
    text = "\0".join((project_id, run_id, call_id)).encode()
    return hmac.new(secret.get_secret_value().encode(), text, hashlib.sha256).hexdigest()
