"""Lets a service die once at each of its failpoints, under load."""

import asyncio
import signal
import time
from collections.abc import Iterable
from contextlib import suppress

from deploy.local.keeper import ProgramError
from shared.failpoints import PLACES, Place
from tests.chaos.lab import Lab
from tests.chaos.walks import (
    Walk,
    cancelled,
    cancelled_in_code,
    deleted,
    one_run,
    plain,
    streamed,
    streamed_code,
    troubled,
    unanswered,
    with_both,
    with_code,
    with_functions,
    with_slow_code,
)
from tests.chaos.work import RECOVERY_S, Work

SERVICE = {"gateway": "gateway", "orchestrator": "run_orchestrator", "tool_code": "tool_code"}
SHARED = {"intake": "tool_code", "publisher": "run_orchestrator"}
ELSEWHERE = "retrieval."  # its stack goes without: see integration/test_retrieval_process.py
HERE = [place for place in PLACES if not place.startswith(ELSEWHERE)]

OFTEN: dict[Walk, float] = {one_run: 4, plain: 1, streamed: 2, with_code: 3, with_functions: 1, cancelled: 1}

# What else brings a process to a place; the walks that go on anyway bring it to the others.
NEEDS: dict[Place, Walk] = {
    "orchestrator.expired": unanswered,  # takes longest
    "gateway.thread_gone": deleted,
    "gateway.cancel_saved": cancelled,
    "gateway.control_sent": cancelled,
    "gateway.stream_begun": streamed,
    "gateway.stream_event": streamed,
    "gateway.stream_ending": streamed,
    "gateway.outputs_saved": with_functions,
    "orchestrator.stopped": cancelled,
    "orchestrator.released": streamed,
    "orchestrator.asking_again": troubled,
    "orchestrator.rung": with_slow_code,
    "orchestrator.request_sent": with_both,
    "orchestrator.result_taken": with_code,
    "orchestrator.result_saved": with_code,
    "tool_code.heartbeat_done": with_slow_code,
    "tool_code.call_released": cancelled_in_code,
    "tool_code.file_kept": streamed_code,
}
NTH: dict[Place, int] = {"orchestrator.piece_taken": 5, "gateway.stream_event": 7, "publisher.frame_sent": 4}
ON_SIGTERM: Place = "orchestrator.released"
LAST = {ON_SIGTERM, "orchestrator.expired"}
HELPERS = 3
LOOK_EVERY_S = 0.05


def service_of(place: Place) -> str:
    area = place.partition(".")[0]
    return SERVICE.get(area) or SHARED[area]


def places_of(*services: str) -> list[Place]:
    return [place for place in HERE if service_of(place) in services]


class Mortal:
    """One service that dies wherever it comes first, until it has died everywhere."""

    def __init__(self, lab: Lab, work: Work, name: str) -> None:
        self._lab = lab
        self._work = work
        self._name = name
        self._helping: dict[Walk, asyncio.Task[None]] = {}
        self.left = places_of(name)

    async def die_everywhere(self, within_s: float) -> None:
        """Leave in ``left`` the places that were not reached in that time; the service runs at the end."""
        deadline = time.monotonic() + within_s
        await self._lab.kill(self._name)
        while time.monotonic() < deadline:
            if not self._lab.runs_now(self._name):
                self.left = [place for place in self.left if not self._lab.died_at(place)]
                if not self.left:
                    break
                await self._begin()
            self._help()
            self._tell_to_stop()
            await asyncio.sleep(LOOK_EVERY_S)
        self._lab.ends(self._name)
        for helping in self._helping.values():
            self._work.add(helping)
        await self._lab.start(self._name)

    async def _begin(self) -> None:
        """Start it with all that is left: it dies at one of them, maybe before it is ready."""
        faults = ",".join(f"{place}:{NTH.get(place, 1)}:kill" for place in self.left)
        self._lab.ends(self._name)
        with suppress(ProgramError):
            await self._lab.start(self._name, faults)

    def _help(self) -> None:
        """Keep a few walks going that lead to places that are left."""
        going = [task for task in self._helping.values() if not task.done()]
        for place, walk in NEEDS.items():
            if place not in self.left or len(going) >= HELPERS:
                continue
            if walk not in self._helping or self._helping[walk].done():
                self._helping[walk] = asyncio.create_task(self._work.take(walk))
                going.append(self._helping[walk])

    def _tell_to_stop(self) -> None:
        """What it does on SIGTERM while it holds a run."""
        wanted = ON_SIGTERM in self.left and LAST.issuperset(self.left)
        if wanted and any(each.ended_at is None for each in self._lab.model.requests):
            with suppress(ProgramError):
                self._lab.stack.signal(self._name, signal.SIGTERM)


async def die(lab: Lab, work: Work, services: Iterable[str], *, within_s: float) -> list[Place]:
    """Let the services die side by side; return the places that none of them came to."""
    mortals = [Mortal(lab, work, name) for name in services]
    async with lab.disturbance(RECOVERY_S):
        await asyncio.gather(*(mortal.die_everywhere(within_s) for mortal in mortals))
    return [place for mortal in mortals for place in mortal.left]
