"""What every service reads from its environment."""

import sys
from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import (
    Field,
    HttpUrl,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared import failpoints

PREFIX = "THREADMILL_"
S = TypeVar("S", bound="ServiceSettings")


class ServiceSettings(BaseSettings):
    """Read once, at the start, and passed down. A bad value stops the start.

    Names carry their unit; every variable is prefixed, as in ``THREADMILL_LEASE_S=45``.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, hide_input_in_errors=True)

    kafka_bootstrap: str = "localhost:9092"
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_username: str = ""
    kafka_password: SecretStr = SecretStr("")
    kafka_ca_file: Path | None = None  # PEM; None: the machine's own authorities
    kafka_cert_file: Path | None = None  # PEM: the client's certificate, where brokers ask for one
    kafka_key_file: Path | None = None  # PEM: its key, unless that is in the same file
    kafka_session_s: PositiveFloat = 10.0  # a consumer silent for this long loses its partitions to another
    topic_prefix: str = "threadmill."
    create_topics: bool = True  # at the start, and when a broker has forgotten them
    topic_replication: PositiveInt = 1
    record_tries: PositiveInt = 5  # of one that fails although store and broker are there
    most_partitions: NonNegativeInt = 0  # of a topic that is created; 0: those of shared/topics.py

    mongo_url: SecretStr = SecretStr("mongodb://localhost:27017")
    mongo_database: str = "threadmill"

    host: str = "127.0.0.1"
    port: PositiveInt = 8080  # the API in the gateway, health probes elsewhere
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    failpoint: str = ""  # for tests: see failpoints.py

    @field_validator("failpoint")
    @classmethod
    def _name_known_places(cls, faults: str) -> str:
        failpoints.parse(faults)
        return faults

    traces_url: HttpUrl | None = None  # OTLP over HTTP, as http://collector:4318/v1/traces; None: no traces
    traces_sample: float = Field(1.0, ge=0, le=1)  # this part of the traces that begin here

    @model_validator(mode="after")
    def _name_who_asks_the_broker(self) -> Self:
        named = self.kafka_username and self.kafka_password.get_secret_value()
        if self.kafka_security_protocol.startswith("SASL") and not named:
            raise ValueError("THREADMILL_KAFKA_USERNAME and THREADMILL_KAFKA_PASSWORD must be set for SASL")
        return self


def load(settings: type[S]) -> S:
    """Read ``settings`` from the environment, or say in one line each what is wrong, and exit with 2."""
    try:
        return settings()
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            name = PREFIX + "_".join(str(part) for part in problem["loc"]).upper()
            sys.stderr.write(f"{name.rstrip('_')}: {problem['msg']}\n")
        sys.exit(2)
