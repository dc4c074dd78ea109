"""Everything the gateway reads from its environment; nothing else reads it."""

import ipaddress
from typing import Self

from pydantic import (
    Field,
    HttpUrl,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    model_validator,
)

from shared.files.settings import FileSettings


class Settings(FileSettings):
    api_key: SecretStr = SecretStr("")  # opens the project "default"
    key_pepper: SecretStr = SecretStr("")  # for the keys in the store; without either: no check, on loopback

    # of each key that has none of its own; 0: without limit
    requests_per_minute: NonNegativeInt = 0
    tokens_per_minute: NonNegativeInt = 0
    concurrent_runs: NonNegativeInt = 0

    # pages whose scripts may call with a key, as those of any may on the original; "*": of any, with [] none
    cors_origins: list[str] = Field(default_factory=lambda: ["*"])

    metrics_port: PositiveInt | None = None  # for Prometheus, without a key: not for the world

    run_expiry_s: PositiveInt = 600  # from its creation until a run ends by itself
    poll_after_ms: NonNegativeInt = 200  # what the poll helpers of the SDKs are told to wait
    max_body_bytes: PositiveInt = 10 * 1024 * 1024
    max_file_bytes: PositiveInt = 512 * 1024 * 1024
    allow_input_download: bool = False  # of files that clients put in for their assistants
    search_patience_s: PositiveFloat = 30.0  # how long a client's own search is waited for
    drain_s: NonNegativeFloat = 0.0  # open streams get this long to end by themselves when it is stopped
    announce_after_s: PositiveFloat = 5.0  # a message that nobody announced by then is announced again

    # the same as in the orchestrator: here only for the list of models
    model_url: HttpUrl = HttpUrl("http://localhost:8000/v1")
    model_api_key: SecretStr = SecretStr("")
    model_aliases: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _open_only_to_this_machine(self) -> Self:
        if not self.asks_for_keys and not _is_loopback(self.host):
            raise ValueError(
                "THREADMILL_API_KEY (or THREADMILL_KEY_PEPPER, for keys in the store) must be set "
                "when the host is not a loopback address"
            )
        return self

    @property
    def asks_for_keys(self) -> bool:
        return any(secret.get_secret_value() for secret in (self.api_key, self.key_pepper))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
