"""Clients, one per thread. They ask again while nobody answers, as the SDKs do, and note what they got."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from services.gateway.run_changes import cancel, outputs_of, submit
from services.gateway.run_creation import require_idle, start
from services.gateway.wire.messages import CreateMessage, new_message
from shared.errors import InvalidRequest, Stale
from shared.runs.model import Run, Settings
from shared.stores.database import PyMongoError
from tests.simulation.model import TOOLS, Reply
from tests.simulation.services import Gateway

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")
SCRIPTS: tuple[list[Reply], ...] = (
    ["text"],
    ["text"],
    ["code", "text"],
    ["codes", "text"],
    ["function", "text"],
    ["both", "text"],
    ["told code", "function", "text"],
    ["cut"],
)
PLAN = (("thread_a", 2), ("thread_b", 1))  # thread, runs one after the other
NO_ANSWER = (ConnectionError, PyMongoError, Stale)


class Client:
    def __init__(self, world: "World") -> None:
        self._world = world
        self.posted: dict[str, list[tuple[str, str]]] = {thread_id: [] for thread_id, _ in PLAN}
        self.created: dict[str, Run] = {}
        self.cancelled: dict[str, float] = {}  # run -> when
        self.must_read: dict[str, list[str]] = {}  # run -> what was posted before it was created

    async def talk(self) -> None:
        await asyncio.gather(*(self._converse(thread_id, runs) for thread_id, runs in PLAN))

    async def _converse(self, thread_id: str, runs: int) -> None:
        for n in range(runs):
            await self._post(thread_id, f"question {n} on {thread_id}")
            await self._create(thread_id, n)

    async def _post(self, thread_id: str, text: str) -> None:
        message_id = f"msg_{thread_id}_{len(self.posted[thread_id])}"
        body = CreateMessage(role="user", content=text)

        async def post(gateway: Gateway, again: bool) -> None:
            now = self._world.now()
            message = new_message(body, message_id, thread_id, int(now))
            gateway.message_changed(await gateway.messages.add(message, project_id="p", at=now))

        await self._ask(f"posts to {thread_id}", post)
        self.posted[thread_id].append((message_id, text))

    async def _create(self, thread_id: str, n: int) -> None:
        world = self._world
        run_id = f"run_{thread_id}_{n}"
        world.scripts[run_id] = world.random.choice(SCRIPTS)
        self.must_read[run_id] = [text for _, text in self.posted[thread_id]]
        now = int(world.now())
        run = Run(
            id=run_id,
            project_id="p",
            thread_id=thread_id,
            assistant_id="asst_1",
            created_at=now,
            expires_at=now + world.random.choice((12, 40, 600, 600)),
            settings=Settings(model="m", tools=TOOLS),
        )
        if world.random.random() < 0.3:
            await asyncio.gather(self._begin(run), self._compete(run))
        else:
            await self._begin(run)

    async def _compete(self, run: Run) -> None:
        """Ask for another run on the thread at the same time: one of the two is refused."""
        rival = run.evolve(id=f"{run.id}_rival")
        self._world.scripts[rival.id] = ["text"]
        self.must_read[rival.id] = self.must_read[run.id]
        await self._begin(rival)

    async def _begin(self, run: Run) -> None:
        try:
            made = await self._ask(f"creates {run.id}", lambda gateway, again: create(gateway, run, again))
        except InvalidRequest:
            return
        self.created[run.id] = made
        await self._follow(made)

    async def _follow(self, run: Run) -> None:
        """Read the run until it has ended; answer its calls, and cancel it if one feels like it."""
        world = self._world
        cancel_at = world.now() + world.random.choice((0.02, 0.3, 0.6, 1.5, 6.0, 1e9, 1e9, 1e9, 1e9))
        while not run.ended:
            await asyncio.sleep(world.random.choice((0.1, 0.5, 2.0)))
            if world.now() >= cancel_at:
                cancel_at = 1e18
                await self._change(run.id, "cancels", self._cancel)
            elif run.phase == "user" and world.random.random() < 0.7:
                await self._change(run.id, "answers", answer)
            run = await self._read(run.id)

    async def _read(self, run_id: str) -> Run:
        async def read(gateway: Gateway, again: bool) -> Run:
            run = await gateway.runs.get(run_id)
            assert run is not None, "an acknowledged run is there"
            return run

        return await self._ask(f"reads {run_id}", read)

    async def _change(self, run_id: str, what: str, change: Callable[[Gateway, Run], Any]) -> None:
        async def do(gateway: Gateway, again: bool) -> None:
            run = await gateway.runs.get(run_id)
            assert run is not None, "an acknowledged run is there"
            await change(gateway, run)

        try:
            await self._ask(f"{what} {run_id}", do)
        except InvalidRequest:
            self._world.note("client", f"is refused: {what} {run_id}")

    async def _cancel(self, gateway: Gateway, run: Run) -> None:
        run = await cancel(gateway.runs, run)
        self.cancelled[run.id] = self._world.now()
        gateway.run_changed(run, "cancel_requested")

    async def _ask(self, what: str, request: Callable[[Gateway, bool], Coroutine[Any, Any, T]]) -> T:
        """Send ``request`` until it is answered."""
        again = False
        while True:
            gateway = self._world.gateway
            self._world.note("client", what)
            try:
                if not gateway.process.dead and not gateway.process.leaving:
                    return await gateway.serve(request(gateway, again))
            except NO_ANSWER as error:
                self._world.note("client", f"gets no answer: {error!r}")
                again = True
            await asyncio.sleep(0.5)


async def create(gateway: Gateway, run: Run, again: bool) -> Run:
    """What the route does."""
    if again and (made := await gateway.runs.get(run.id)):
        return made
    await require_idle(gateway.stores, run.thread_id)
    run = await start(gateway.stores, run, ())
    gateway.run_changed(run, "created")
    return run


async def answer(gateway: Gateway, run: Run) -> None:
    given = [(call.id, f"output of {call.id}") for call in run.awaited]
    run = await submit(gateway.runs, run, outputs_of(run, given))
    gateway.run_changed(run, "outputs_submitted")
