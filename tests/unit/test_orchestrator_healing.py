"""What others do for a process that is gone, or behind the times. Found by the simulation."""

import asyncio
from typing import Any, cast

from pydantic import SecretStr

from services.run_orchestrator.brokers import BrokerStore
from services.run_orchestrator.follow_up import FollowUp
from services.run_orchestrator.handlers import Handlers
from services.run_orchestrator.refill import LATE_S, Refill
from services.run_orchestrator.turns import Turns
from shared.runs.model import Published
from shared.runs.rules import CANCEL_S, created
from shared.stores.database import Database
from shared.stores.messages import MessageStore
from shared.stores.runs import RunStore
from tests.unit.recording_publisher import RecordingPublisher
from tests.unit.run_samples import CANCELLED, CLAIMED, DONE, MESSAGE_STARTED, NOW, after, new_run


async def test_the_draft_of_a_cancelled_run_whose_owner_died_is_closed(db: Database) -> None:
    runs, messages, publisher = RunStore(db), MessageStore(db), RecordingPublisher()
    run = await runs.add(created(new_run(), NOW))
    for fact in (CLAIMED, MESSAGE_STARTED, CANCELLED):
        run = await runs.save(run, after(run, fact))
    assert run.step is not None
    await messages.write_step(run, run.step)
    assert run.wake_at == NOW + CANCEL_S
    follow_up = FollowUp(runs, messages, publisher, SecretStr("s"))
    turns = Turns(runs, publisher, cast(Any, None), owner="b", lease_s=15.0, call_s=60.0, most=1)
    await Handlers(runs, turns, publisher, follow_up, SecretStr("s")).advance_run(run)
    ended, message = await runs.get(run.id), await db["messages"].find_one({})
    assert ended is not None
    assert message is not None
    assert (ended.status, message["status"]) == ("cancelled", "incomplete")


async def test_a_turn_that_is_stopped_before_it_began_gives_its_place_back(db: Database) -> None:
    runs, publisher = RunStore(db), RecordingPublisher()
    turns = Turns(runs, publisher, cast(Any, None), owner="a", lease_s=15.0, call_s=60.0, most=1)
    run = turns.claim(created(new_run(), NOW))
    turns.start(run)
    assert turns.full
    turns.stop(run.id)
    async with asyncio.timeout(10), turns.place():
        assert turns.full


async def test_a_new_broker_gets_what_somebody_counted_for_published_too_late(db: Database) -> None:
    runs, brokers, publisher = RunStore(db), BrokerStore(db), RecordingPublisher()
    refill = Refill(runs, brokers, publisher)
    await brokers.note("old", NOW)
    await brokers.note("new", NOW + 1)
    await refill.publish_again("new", NOW + 2)  # nothing to do yet
    run = await runs.add(created(new_run(), NOW))
    ended = await runs.save(run, DONE.evolve(id=run.id, seq=run.seq, version=run.version))
    await runs.mark_published(ended.evolve(published=Published(generation="old", n=len(ended.events))))
    assert await runs.unannounced(NOW + 99) == []
    await refill.publish_again("new", NOW + 3)
    assert [found.id for found in await runs.unannounced(NOW + 99)] == [run.id]
    await runs.mark_published(ended.evolve(published=Published(generation="old", n=len(ended.events))))
    await refill.publish_again("new", NOW + 5)
    assert [found.id for found in await runs.unannounced(NOW + 99)] == [run.id], "and once more"
    await runs.mark_published(ended.evolve(published=Published(generation="old", n=len(ended.events))))
    await refill.publish_again("new", NOW + 7)
    assert await runs.unannounced(NOW + 99) == [], "too soon: it was looked at when 3 s had gone by"
    await refill.publish_again("new", NOW + 8)
    assert [found.id for found in await runs.unannounced(NOW + 99)] == [run.id]
    await refill.publish_again("new", NOW + 3 + LATE_S)
    assert await brokers.replaced("new", NOW) == {}


async def test_what_is_behind_the_times_asks_for_nothing(db: Database) -> None:
    brokers = BrokerStore(db)
    await brokers.note("old", NOW)
    await brokers.note("new", NOW + 1)
    assert await brokers.replaced("old", NOW + 2) == {}
    assert await brokers.replaced("unknown", NOW + 2) == {}
