"""Breaks things, one after the other, as a seed says; each is whole again before the next is broken."""

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from deploy.local.keeper import ProgramError
from shared import topics
from tests.chaos.collecting import records_of
from tests.chaos.lab import PARTITIONS, PROGRAMS, SERVICES, Lab
from tests.chaos.work import RECOVERY_S

SECOND = "run_orchestrator-2"
UNREADABLE = ("{", "null", '{"run_id": 7}', "\ufffd\u0000", "[]")
WORK = (topics.RUN_COMMANDS, topics.TOOL_REQUESTS_CODE, topics.TOOL_RESULTS)

Deed: TypeAlias = Callable[[Lab, random.Random], Awaitable[str]]


async def kill(lab: Lab, chance: random.Random) -> str:
    name = chance.choice([*SERVICES, SECOND])
    pause_s = chance.uniform(0.0, 2.0)
    await lab.kill(name)
    await asyncio.sleep(pause_s)
    await lab.start(name)
    return f"killed {name} for {pause_s:.1f} s"


async def kill_all(lab: Lab, chance: random.Random) -> str:
    names = [name for name in (*reversed(PROGRAMS), SECOND) if name not in lab.given]
    await asyncio.gather(*(lab.kill(name) for name in names))
    await asyncio.gather(*(lab.start(name) for name in names))
    return "killed everything at once"


async def stand_still(lab: Lab, chance: random.Random) -> str:
    """Longer than a lease, sometimes: then it wakes up as a zombie."""
    name, pause_s = chance.choice([*SERVICES, SECOND]), chance.uniform(1.0, 6.0)
    lab.stack.signal(name, signal.SIGSTOP)
    try:
        await asyncio.sleep(pause_s)
    finally:
        with contextlib.suppress(ProgramError):
            lab.stack.signal(name, signal.SIGCONT)
    return f"{name} stood still for {pause_s:.1f} s"


async def roll(lab: Lab, chance: random.Random) -> str:
    for name in (*SERVICES, SECOND):
        await lab.restart(name)
    return "rolled all services"


async def restart_broker(lab: Lab, chance: random.Random) -> str:
    pause_s = chance.uniform(0.0, 4.0)
    await lab.kill("broker")
    await asyncio.sleep(pause_s)
    await lab.start("broker")
    return f"the broker forgot everything in {pause_s:.1f} s"


async def restart_store(lab: Lab, chance: random.Random) -> str:
    pause_s = chance.uniform(0.0, 4.0)
    await lab.kill("store")
    await asyncio.sleep(pause_s)
    await lab.start("store")
    return f"killed the store for {pause_s:.1f} s"


async def network(lab: Lab, chance: random.Random) -> str:
    name = chance.choice(list(lab.proxies))
    proxy, pause_s = lab.proxies[name], chance.uniform(0.5, 5.0)
    how = chance.choice(["slow", "cut", "deaf", "gone", "answers lost"])
    if how == "slow":
        proxy.delay_s = chance.uniform(0.02, 0.3)
    elif how == "cut":
        await proxy.cut()
    elif how == "deaf":
        await proxy.be_deaf()
    elif how == "gone":
        await proxy.go_away()
    else:
        proxy.losses = chance.randint(1, 5)
    await asyncio.sleep(pause_s)
    proxy.heal()
    return f"the {name} was {how} for {pause_s:.1f} s"


async def repeat_records(lab: Lab, chance: random.Random) -> str:
    """Send once more what was sent, in another order."""
    topic = chance.choice(WORK)
    name = lab.prefix + topic.name
    records = [record async for record in records_of(lab.kafka, name, PARTITIONS)]
    readable = [record for record in records if record.value not in lab.injected]
    chosen = chance.sample(readable, min(len(readable), 50))
    for record in chosen:
        await send(lab, name, record.key, record.value)
    return f"repeated {len(chosen)} records of {topic.name}"


async def send_unreadable(lab: Lab, chance: random.Random) -> str:
    topic = chance.choice(WORK)
    value = chance.choice(UNREADABLE)
    await send(lab, lab.prefix + topic.name, "somebody", value)
    if not lab.brokers_lost or time.time() - lab.brokers_lost[-1] > 1:
        lab.injected.append(value)
    return f"sent {value!r} to {topic.name}"


async def send(lab: Lab, topic: str, key: str, value: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=lab.kafka, acks="all")
    await producer.start()
    try:
        await producer.send_and_wait(topic, value.encode(), key=key.encode() or None)
    finally:
        await producer.stop()


# How often each is done, in comparison.
DEEDS: dict[Deed, float] = {
    kill: 6,
    stand_still: 3,
    network: 6,
    roll: 1,
    kill_all: 1,
    restart_broker: 2,
    restart_store: 2,
    repeat_records: 2,
}
NEEDS: dict[Deed, str] = {restart_broker: "broker", restart_store: "store"}


async def nemesis(lab: Lab, chance: random.Random, *, for_s: float, tell: Callable[[str], None]) -> int:
    """Break things for so long; return how many."""
    deeds = {deed: weight for deed, weight in DEEDS.items() if NEEDS.get(deed, "") not in lab.given}
    ends, done = time.monotonic() + for_s, 0
    await lab.start(SECOND)
    while time.monotonic() < ends:
        await asyncio.sleep(chance.uniform(0.0, 3.0))
        (deed,) = chance.choices(list(deeds), list(deeds.values()))
        began = time.monotonic()
        async with lab.disturbance(RECOVERY_S):
            try:
                said = await deed(lab, chance)
            except (ProgramError, KafkaError) as error:
                said = f"{deed.__name__} did not work: {error!r:.200}"
                await lab.make_whole()
        done += 1
        tell(f"{time.strftime('%H:%M:%S')} {said} ({time.monotonic() - began:.1f} s)")
    await lab.make_whole()
    return done
