"""How much a key may use: requests and tokens a minute, and runs at the same time.

Off unless set; then nothing here touches the store. What is left is told in the headers that
the SDKs show; what is too much is answered with 429, which the SDKs send again when they are told to.
"""

import math
import re

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.auth import ORGANIZATION, Caller, Key
from services.gateway.stores.usage import UsageStore, Window
from services.gateway.whole import read_whole
from shared import clock
from shared.errors import ServiceError
from shared.stores.runs import RunStore

CHARACTERS_PER_TOKEN = 4
FOR_THE_MODEL = re.compile(r"(/v1)?/threads(/runs|/[^/]+/(messages|runs))?")
RUN_ENDS_AFTER_S = 1.0  # nobody knows when one of the others ends
REACHED = (
    "Rate limit reached in organization {organization} on {what}: Limit {limit}, Used {used}, "
    "Requested {requested}. Please try again in {wait}."
)


class RateLimited(ServiceError):
    """``wait_s``: when to try again; None if that can never help."""

    status = 429
    type = "requests"

    def __init__(self, what: str, limit: int, used: int, requested: int, wait_s: float | None) -> None:
        wait = duration(wait_s) if wait_s is not None else "a smaller piece"
        super().__init__(
            REACHED.format(
                organization=ORGANIZATION, what=what, limit=limit, used=used, requested=requested, wait=wait
            ),
            code="rate_limit_exceeded",
        )
        self.headers = {"x-should-retry": "false"}
        if wait_s is not None:
            self.headers = {
                "retry-after": str(max(1, math.ceil(wait_s))),
                "retry-after-ms": str(max(1, math.ceil(wait_s * 1000))),
            }


class TokensLimited(RateLimited):
    type = "tokens"


class RateLimits:
    """Counts the requests of keys that have limits, before they are done."""

    def __init__(self, app: ASGIApp, *, usage: UsageStore) -> None:
        self._app = app
        self._usage = usage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key: Key | None = scope.get("key")
        if key is None or not (key.limits.requests_per_minute or key.limits.tokens_per_minute):
            await self._app(scope, receive, send)
            return
        tokens = 0
        if key.limits.tokens_per_minute and scope["method"] == "POST" and is_for_model(scope["path"]):
            body, receive = await read_whole(receive)
            tokens = estimated_tokens(body)
        now = clock.now()
        window = await self._usage.spend(
            key.id,
            most_requests=key.limits.requests_per_minute,
            most_tokens=key.limits.tokens_per_minute,
            tokens=tokens,
            now=now,
        )
        told = headers_of(key, window, now)
        if not window.taken:
            error = refusal(key, window, tokens, now)
            error.headers = {**told, **error.headers}
            raise error

        async def send_telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(told)
            await send(message)

        await self._app(scope, receive, send_telling)


class RunPlaces:
    """How many runs of a key may be active at the same time."""

    def __init__(self, usage: UsageStore, runs: RunStore) -> None:
        self._usage = usage
        self._runs = runs

    async def reserve(self, caller: Caller, run_id: str) -> None:
        """
        Raises:
            RateLimited: as many runs are active as the key may have.
        """
        most = caller.key.limits.concurrent_runs
        if most and not await self._usage.reserve_run(
            caller.key.id, run_id, most=most, now=clock.now(), ended=self._ended
        ):
            raise RateLimited("concurrent runs", most, most, 1, RUN_ENDS_AFTER_S)

    async def release(self, caller: Caller, run_id: str) -> None:
        """The run was not stored."""
        if caller.key.limits.concurrent_runs:
            await self._usage.release_run(caller.key.id, run_id)

    async def _ended(self, run_id: str) -> bool | None:
        run = await self._runs.get(run_id)
        return None if run is None else run.ended


def is_for_model(path: str) -> bool:
    """
    >>> is_for_model("/v1/threads/thread_1/messages"), is_for_model("/v1/assistants")
    (True, False)
    """
    return FOR_THE_MODEL.fullmatch(path) is not None


def estimated_tokens(body: bytes) -> int:
    return math.ceil(len(body.decode(errors="replace")) / CHARACTERS_PER_TOKEN)


def refusal(key: Key, window: Window, tokens: int, now: float) -> RateLimited:
    wait_s = max(window.until - now, 0.001)
    most = key.limits.requests_per_minute
    if most and window.requests >= most:
        return RateLimited("requests per min (RPM)", most, window.requests, 1, wait_s)
    most = key.limits.tokens_per_minute
    never = tokens > most
    return TokensLimited("tokens per min (TPM)", most, window.tokens, tokens, None if never else wait_s)


def headers_of(key: Key, window: Window, now: float) -> dict[str, str]:
    told = {}
    for name, most, used in (
        ("requests", key.limits.requests_per_minute, window.requests),
        ("tokens", key.limits.tokens_per_minute, window.tokens),
    ):
        if most:
            told[f"x-ratelimit-limit-{name}"] = str(most)
            told[f"x-ratelimit-remaining-{name}"] = str(max(most - used, 0))
            told[f"x-ratelimit-reset-{name}"] = duration(max(window.until - now, 0.0) if used else 0.0)
    return told


def duration(seconds: float) -> str:
    """
    >>> duration(0.0124), duration(1), duration(7.315), duration(360)
    ('13ms', '1s', '7.315s', '6m0s')
    """
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest_ms = divmod(round(seconds * 1000), 60_000)
    return f"{minutes}m{rest_ms / 1000:g}s" if minutes else f"{rest_ms / 1000:g}s"
