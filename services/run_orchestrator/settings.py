"""Everything the orchestrator reads from its environment, beside what all services read."""

from typing import Self

from pydantic import Field, HttpUrl, NonNegativeFloat, PositiveFloat, PositiveInt, SecretStr, model_validator

from shared.files.settings import FileSettings

WINDOWS = {
    "gpt-3.5-turbo": 16_385,
    "gpt-3.5-turbo-1106": 16_385,
    "gpt-4": 8_192,
    "gpt-4-1106-preview": 128_000,
    "*": 128_000,
}


class Settings(FileSettings):
    port: PositiveInt = 8081

    model_url: HttpUrl = HttpUrl("http://localhost:8000/v1")
    model_api_key: SecretStr = SecretStr("")
    # signs tool calls, so that nobody else can answer them; the same in every replica
    call_secret: SecretStr = Field(default=SecretStr(""), validate_default=True, min_length=16)

    # what a client asks for -> what the server has; "*" stands for every other name
    model_aliases: dict[str, str] = Field(default_factory=dict)
    # tokens that a model takes, prompt and reply together, by the name asked for or the server's; "*": others
    model_windows: dict[str, PositiveInt] = Field(default_factory=lambda: dict(WINDOWS))
    model_silence_s: PositiveFloat = 120.0  # a model that sends nothing for this long is given up
    model_tries: PositiveInt = 4  # of one turn, while the replies are faulty or refused

    call_timeout_s: PositiveFloat = 60.0  # tool_code's, so that its longest call is waited for
    ingest_wait_s: NonNegativeFloat = 60.0  # at most: for files that its vector stores still take in

    drain_s: NonNegativeFloat = (
        0.0  # turns in hand get this long when it is stopped; others begin the rest anew
    )
    concurrent_turns: PositiveInt = 64  # model turns in flight in one process
    lease_s: PositiveFloat = 15.0  # an owner silent for this long loses its run
    heartbeat_s: PositiveFloat = 5.0
    sweep_s: PositiveFloat = 2.0

    @model_validator(mode="after")
    def _renew_well_before_expiry(self) -> Self:
        if self.heartbeat_s * 2 > self.lease_s:
            raise ValueError("heartbeat_s must be at most half of lease_s: allow one slow renewal")
        return self

    @model_validator(mode="after")
    def _know_a_window_for_every_model(self) -> Self:
        if "*" not in self.model_windows:
            raise ValueError('model_windows needs an entry "*" for the models that it does not name')
        return self
