"""More threads than there is room for: who is not at work makes place, and finds its way back."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.tool_code import room
from services.tool_code.sandbox.choose import Unavailable
from services.tool_code.sandbox.session import Session
from services.tool_code.sessions import Sessions
from shared.stores.database import Database
from tests.eventually import eventually
from tests.integration.sandboxes import PATIENT_S, logs, pick


@pytest.fixture
async def sessions(db: Database, tmp_path: Path) -> AsyncIterator[Sessions]:
    backend = pick("auto", tmp_path)
    if isinstance(backend, Unavailable):
        pytest.skip(str(backend))
    sessions = Sessions(db, backend, "worker", idle_s=3600.0, most=2)
    yield sessions
    await sessions.close()
    await backend.close()


async def call(sessions: Sessions, thread_id: str, code: str = "1") -> tuple[Session, bool]:
    """Run code as a call of the thread; return its sandbox, and whether there were calls in another one."""
    async with sessions.of_thread(thread_id) as held:
        session = held.session or await sessions.start(thread_id, held)
        await logs(session, code)
        await sessions.note_call(thread_id, held)
        return session, held.earlier > 0


async def closed(session: Session) -> None:
    async def gone() -> bool:
        return not session.alive

    await eventually(gone, within_s=PATIENT_S)


async def test_the_one_that_was_not_used_for_the_longest_time_makes_place(sessions: Sessions) -> None:
    first, _ = await call(sessions, "thread_1")
    second, _ = await call(sessions, "thread_2")
    assert (await call(sessions, "thread_1"))[0] is first
    third, _ = await call(sessions, "thread_3")
    await closed(second)
    assert first.alive
    assert third.alive
    again, had_calls = await call(sessions, "thread_2")
    assert again is not second
    assert had_calls, "the model is told that variables are gone"
    await closed(first)


async def test_one_whose_code_runs_is_not_closed(sessions: Sessions) -> None:
    first, _ = await call(sessions, "thread_1")
    second, _ = await call(sessions, "thread_2")
    async with sessions.of_thread("thread_1"):
        await call(sessions, "thread_3")
        await closed(second)
        async with sessions.of_thread("thread_3"):
            fourth, _ = await call(sessions, "thread_4")
        assert first.alive
        assert fourth.alive


def test_there_is_room_for_as_many_as_the_container_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = room.memory_bytes()
    assert there > 128 << 20
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(room, "LIMITS", (str(tmp_path / "none"), str(limit)))
    limit.write_text(f"{there // 2}\n")
    assert room.memory_bytes() == there // 2
    limit.write_text(f"{1 << 30}\n")
    assert room.most_sandboxes() == 4
    limit.write_text(f"{1 << 20}\n")
    assert room.most_sandboxes() == room.FEWEST
    limit.write_text("max\n")
    assert room.memory_bytes() >= there
