"""Clients that write down what they asked and what they were told, and repeat as the SDKs do."""

import asyncio
import json
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx

from tests.chaos.about_runs import ENDS
from tests.chaos.history import Json, Kind, Op, Reading, Seen, Transcript

PATIENCE_S = 90.0  # with one operation, through all that may be away meanwhile
PAUSE_S = (0.2, 1.0)
LOOK_EVERY_S = 0.4
READ_S = 30.0
PASSING = (408, 409, 429)


class GaveUp(Exception):
    """No answer came for longer than any outage lasts."""


@dataclass
class Log:
    """What all clients of one history noted."""

    ops: list[Op] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    transcripts: list[Transcript] = field(default_factory=list)
    texts: "count[int]" = field(default_factory=lambda: count(1))
    ended: int = 0  # runs that clients saw end


class Client:
    """One client. ``api`` is changed by no one: a gateway that was killed comes back at its port."""

    def __init__(self, name: str, base_url: str, api_key: str, log: Log, chance: random.Random) -> None:
        self._name = name
        self._log = log
        self._chance = chance
        headers = {"Authorization": f"Bearer {api_key}", "OpenAI-Beta": "assistants=v2"}
        timeout = httpx.Timeout(10.0, read=READ_S)
        self._readers = asyncio.Semaphore(8)
        self._http = httpx.AsyncClient(base_url=base_url, headers=headers, timeout=timeout)

    async def close(self) -> None:
        await self._http.aclose()

    async def ask(self, op: Op, method: str, path: str, body: Any = None) -> Op:
        """Ask until there is an answer; the retries say that they are some. The answer may be a refusal."""
        self._log.ops.append(op)
        deadline = op.asked_at + PATIENCE_S
        for op.tries in count(1):
            headers = {"x-stainless-retry-count": str(op.tries - 1)} if method == "POST" else {}
            with suppress(httpx.TransportError):
                response = await self._http.request(method, path, json=body, headers=headers)
                if response.status_code < 500 and response.status_code not in PASSING:
                    op.status, op.answered_at = response.status_code, time.time()
                    op.answer = response.json()
                    return op
            if time.time() > deadline:
                raise GaveUp(f"{method} {path}")
            await asyncio.sleep(self._chance.uniform(*PAUSE_S))
        raise AssertionError("count ends never")

    async def post(self, kind: Kind, path: str, body: Any = None, **fields: Any) -> Op:
        op = Op(kind, time.time(), asked=body or {}, **fields)
        return await self.ask(op, "POST", path, body)

    async def get(self, kind: Kind, path: str, **fields: Any) -> Op:
        return await self.ask(Op(kind, time.time(), **fields), "GET", path)

    async def assistant(self, model: str, **fields: Any) -> str:
        op = await self.post(
            "assistant", "/assistants", {"model": model, "instructions": "Be brief.", **fields}
        )
        return str(op.answer["id"])

    async def thread(self) -> str:
        body = {"metadata": {"number": str(next(self._log.texts))}}  # so that a history tells them apart
        op = await self.post("thread", "/threads", body)
        op.thread_id = op.answer["id"]
        return op.thread_id

    async def say(self, thread_id: str) -> Op:
        text = f"message-{next(self._log.texts)}."
        body = {"role": "user", "content": text}
        return await self.post(
            "message", f"/threads/{thread_id}/messages", body, thread_id=thread_id, text=text
        )

    async def run(self, thread_id: str, assistant_id: str, **body: Any) -> Op:
        asked = {"assistant_id": assistant_id, **body}
        op = await self.post("run", f"/threads/{thread_id}/runs", asked, thread_id=thread_id)
        if op.done:
            op.run_id = op.answer["id"]
        return op

    async def stream(self, thread_id: str, path: str, body: Json) -> Transcript | None:
        """Read a stream to its end; one that breaks is not begun again. None: it was not given."""
        transcript = Transcript("", thread_id, [], broken=True)
        name = ""
        try:
            async with self._http.stream("POST", path, json={**body, "stream": True}) as response:
                if response.status_code != 200:
                    await response.aread()
                    return None
                async for line in response.aiter_lines():
                    if line.startswith("event: "):
                        name = line.removeprefix("event: ")
                    elif line.startswith("data: "):
                        data = line.removeprefix("data: ")
                        transcript.events.append((name, data if name == "done" else json.loads(data)))
            transcript.broken = name != "done"
        except httpx.TransportError:
            pass
        for _, data in transcript.events:
            if isinstance(data, dict) and data.get("object") == "thread.run":
                transcript.run_id = data["id"]
                self._log.transcripts.append(transcript)
                return transcript
        return None

    async def read(self, kind: str, object_id: str, path: str) -> Reading:
        while True:
            async with self._readers:
                with suppress(httpx.TransportError):
                    response = await self._http.get(path)
                    return Reading(kind, object_id, response.status_code)
            await asyncio.sleep(LOOK_EVERY_S)

    async def watch(self, thread_id: str, run_id: str, *, until: Callable[[str], bool]) -> Json:
        """Look at a run until its status is one of those."""
        path, deadline = f"/threads/{thread_id}/runs/{run_id}", time.time() + 2 * PATIENCE_S
        while True:
            with suppress(httpx.TransportError):
                response = await self._http.get(path)
                if response.status_code == 200:
                    run: Json = response.json()
                    seen = Seen(self._name, time.time(), run_id, thread_id, run["status"])
                    self._log.seen.append(seen)
                    if until(run["status"]):
                        return run
                elif response.status_code == 404:
                    return {"status": "deleted"}
            if time.time() > deadline:
                raise GaveUp(f"{run_id} is not over")
            await asyncio.sleep(LOOK_EVERY_S)

    def status_of(self, run_id: str) -> str:
        """As anybody saw it last."""
        return next(seen.status for seen in reversed(self._log.seen) if seen.run_id == run_id)

    async def end_of(self, thread_id: str, run_id: str) -> Json:
        """Wait until the run has ended, and look at its messages at once."""
        run = await self.watch(thread_id, run_id, until=lambda status: status in ENDS)
        self._log.ended += 1
        if run["status"] == "completed":
            await self.get(
                "list",
                f"/threads/{thread_id}/messages?limit=100&run_id={run_id}",
                thread_id=thread_id,
                run_id=run_id,
            )
        return run
