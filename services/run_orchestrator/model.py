"""The model's server, over the chat-completions protocol."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx2
import openai
from openai import AsyncOpenAI, AsyncStream

from services.run_orchestrator import chunks
from services.run_orchestrator.prompt import Prompt
from services.run_orchestrator.replies import End, FaultyReply, ModelTrouble, Piece
from services.run_orchestrator.settings import Settings
from shared import metrics, tracing

RETRY_AFTER_MOST_S = 60.0
BROKEN = (openai.OpenAIError, httpx2.HTTPError, OSError, ValueError)  # a bad line of JSON is a ValueError
ANY = "*"
OVER = object()  # comes behind the last chunk


class Model:
    """One client for all turns. Trying again is the caller's: it must withdraw what was streamed."""

    def __init__(self, settings: Settings) -> None:
        self._aliases = settings.model_aliases
        self._windows = settings.model_windows
        self._silence_s = settings.model_silence_s
        self._server = settings.model_url.host or ""
        self._client = AsyncOpenAI(
            base_url=str(settings.model_url),
            api_key=settings.model_api_key.get_secret_value() or "none",
            max_retries=0,
            timeout=settings.model_silence_s,
        )

    def served_name(self, model: str) -> str:
        """Return what the server calls the ``model`` that a client asked for."""
        return self._aliases.get(model) or self._aliases.get(ANY) or model

    def window(self, model: str) -> int:
        """Return the tokens that the ``model`` takes, prompt and reply together."""
        return self._windows.get(model) or self._windows.get(self.served_name(model)) or self._windows[ANY]

    async def stream(self, model: str, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        """Yield the reply piece by piece; its ``End`` comes last, always.

        Raises:
            ModelTrouble: the server refused, went silent, or broke off.
        """
        asked_at, heard = time.monotonic(), False
        span = tracing.chat(self.served_name(model), self._server)
        try:
            async with asyncio.timeout(self._silence_s):
                # Not chat.completions.create, which would build a model of each chunk.
                stream = await self._client.post(
                    "/chat/completions",
                    cast_to=object,
                    body={
                        "model": self.served_name(model),
                        "stream": True,
                        "stream_options": {"include_usage": True},
                        **prompt,
                    },
                    options={"headers": span.carrier()},
                    stream=True,
                    stream_cls=AsyncStream[Any],
                )
            async with stream:
                reason, usage = None, None
                reader = aiter(stream)
                while (chunk := await self._next(reader)) is not OVER:
                    reason = chunks.reason(chunk) or reason
                    usage = chunks.usage(chunk) or usage
                    for piece in chunks.pieces(chunk):
                        if not heard:
                            heard = True
                            took_s = time.monotonic() - asked_at
                            metrics.FIRST_TOKEN_SECONDS.observe(took_s)
                            span.heard(took_s)
                        yield piece
                span.replied(reason or "none", usage)
        except ModelTrouble as faulty:
            metrics.MODEL_REQUESTS.labels("trouble").inc()
            span.fail(type(faulty).__name__)
            raise
        except BROKEN as error:
            metrics.MODEL_REQUESTS.labels("trouble").inc()
            span.fail(type(error).__name__)
            trouble = _trouble(error)
            trouble.args = (self._without_key(str(trouble)),)
            raise trouble from error
        finally:
            span.end()
        metrics.MODEL_REQUESTS.labels("trouble" if reason is None else "ok").inc()
        if reason is None:
            raise FaultyReply("the reply broke off")
        yield End(reason, usage)

    async def _next(self, reader: AsyncIterator[Any]) -> Any:
        async with asyncio.timeout(self._silence_s):
            return await anext(reader, OVER)

    def _without_key(self, words: str) -> str:
        """Some servers repeat the key that they refuse, and what they say is shown to the run's client."""
        return words.replace(self._client.api_key, "[the key]")

    async def close(self) -> None:
        await self._client.close()


def _trouble(error: Exception) -> ModelTrouble:
    """What the run's client is told of ``error``: a refusal in the server's own words."""
    if isinstance(error, openai.RateLimitError):
        text, wait_s = _words(error), _retry_after_s(error)
        return ModelTrouble(text, code="rate_limit_exceeded", passing=True, retry_after_s=wait_s)
    if isinstance(error, openai.BadRequestError | openai.UnprocessableEntityError):
        return ModelTrouble(_words(error), code="invalid_prompt", passing=False)
    if isinstance(error, openai.APIStatusError) and error.status_code < 500 and error.status_code != 408:
        return ModelTrouble(f"The model's server refused the request: {_words(error)}", passing=False)
    if isinstance(error, openai.APIStatusError):
        wait_s = _retry_after_s(error)
        return ModelTrouble("The model's server failed.", passing=True, retry_after_s=wait_s)
    if isinstance(error, TimeoutError | openai.APITimeoutError):
        return ModelTrouble("The model's server did not answer in time.", passing=True)
    return ModelTrouble("The connection to the model's server broke.", passing=True)


def _words(error: openai.APIStatusError) -> str:
    body: Any = error.body
    said = body.get("message") if isinstance(body, dict) else None
    return str(said or f"status {error.status_code}")[:1000]


def _retry_after_s(error: openai.APIStatusError) -> float | None:
    try:
        return min(float(error.response.headers["retry-after"]), RETRY_AFTER_MOST_S)
    except (KeyError, ValueError):
        return None
