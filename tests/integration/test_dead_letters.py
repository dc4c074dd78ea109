"""Records that cannot be processed: set aside once, visible, put back by hand; runs end all the same."""

import json
from collections.abc import AsyncIterator

import pytest

from services.run_orchestrator.call_token import call_token
from services.tool_code.app import build_app
from services.tool_code.settings import Settings
from shared.events import ToolResult
from shared.stores.database import Database
from shared.topics import RUN_COMMANDS, TOOL_REQUESTS_CODE, TOOL_RESULTS
from tests.integration.dead_letters import Dead
from tests.integration.orchestrators import (
    CODE_INTERPRETER,
    SECRET,
    Client,
    orchestrator,
    orchestrator_settings,
)
from tests.model_script import call, code, say
from tests.model_server import ModelServer


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest.fixture
async def client(
    kafka_bootstrap: str, mongo_url: str, db: Database, model: ModelServer
) -> AsyncIterator[Client]:
    settings = orchestrator_settings(kafka_bootstrap, mongo_url, db, model)
    async with orchestrator(settings, db) as client:
        yield client


@pytest.fixture
def dead(client: Client, capsys: pytest.CaptureFixture[str]) -> Dead:
    return Dead(client.settings.kafka_bootstrap, client.settings.topic_prefix, capsys)


async def test_what_cannot_be_read_is_set_aside_once_and_holds_nothing_up(
    client: Client, model: ModelServer, dead: Dead
) -> None:
    model.script(say("Hi."))
    run = await client.create_run(ring=False)
    await client.ring(run, "created")  # the topics are there
    await dead.send(RUN_COMMANDS.name, b"", b"{", b"\xff", b'{"run_id": 1}', key=run.thread_id.encode())
    await dead.send(TOOL_RESULTS.name, b"[1]", key=run.id.encode())
    await client.ring(run, "created")
    await client.until(run, "completed")
    rows = await dead.until(5)
    assert {row[1] for row in rows} == {"malformed"}
    assert [row[0].split("/")[0] for row in rows].count(TOOL_RESULTS.name) == 1
    shown = json.loads(await dead.run("show", next(row[0] for row in rows if "tool-results" in row[0])))
    assert (shown["value"], shown["key"], shown["attempts"]) == ([1], run.id, 1)
    assert shown["headers"] == {"traceparent": "00-1"}
    assert "should be an object" in shown["error"]


async def test_a_poisonous_command_is_set_aside_and_works_when_it_is_put_back(
    client: Client, model: ModelServer, db: Database, dead: Dead
) -> None:
    """What fails here is the run's document, which no service can read."""
    run = await client.create_run(ring=False)
    await db["runs"].update_one({"_id": run.id}, {"$set": {"phase": "of a later version"}})
    await client.ring(run, "created")
    other = await client.create_run()
    await client.until(other, "completed")
    [[letter, reason, tries, *_]] = await dead.until(1)
    assert (reason, tries) == ("poisonous", "5")
    assert "ValidationError" in json.loads(await dead.run("show", letter))["error"]

    model.script(say("Late."))
    later = {"phase": "runnable", "wake_at": run.created_at + 600.0}  # the sweeper is not to be faster
    await db["runs"].update_one({"_id": run.id}, {"$set": later})
    assert await dead.run("replay", letter) == f"{letter} is back on its topic\n"
    await client.until(run, "completed")
    assert [row[4] for row in await dead.until(1)] == ["replayed"]
    for _ in range(2):
        await dead.run("replay", letter)
    await client.until(await client.create_run(), "completed")
    assert await client.texts(run.thread_id) == ["Hello", "Late."]
    assert await dead.run("replay", "--all") == "nothing to replay\n"


async def test_a_result_with_which_everything_fails_ends_its_run(
    client: Client, model: ModelServer, dead: Dead
) -> None:
    """It holds a number that no document can; a forged one of the kind does no harm to the run."""
    model.script(call(code("1")))
    run = await client.create_run(tools=(CODE_INTERPRETER,))
    run = await client.until(run, "in_progress", phase="tools")
    [awaited] = run.awaited
    token = call_token(SECRET, run.project_id, run.id, awaited.id)
    large = ({"type": "logs", "logs": 2**70},)
    result = ToolResult(call_id=awaited.id, run_id=run.id, token=token, output="", outputs=large)
    await client.answer(result.model_copy(update={"token": "né"}))
    await client.answer(result)
    ended = await client.until(run, "failed")
    assert ended.outcome is not None
    assert ended.outcome.last_error is not None
    assert ended.outcome.last_error.code == "server_error"
    assert [event.type for event in ended.events][-2:] == ["thread.run.step.failed", "thread.run.failed"]
    [[letter, reason, tries, *_]] = await dead.until(1)
    assert (reason, tries) == ("poisonous", "5")
    await dead.run("replay", letter)
    await client.until(await client.create_run(), "completed")
    after = await client.runs.get(run.id)
    assert after is not None
    assert (after.version, after.events) == (ended.version, ended.events), "the end of a run is final"


async def test_what_is_asked_for_by_mistake_is_told(dead: Dead, client: Client) -> None:
    await client.until(await client.create_run(), "completed")
    assert await dead.run("list") == "no dead letters\n"
    assert "there is no dead letter 'x/0/1'" in await dead.run("show", "x/0/1", code=1)
    assert "say --all" in await dead.run("replay", code=1)
    nowhere = Dead(dead.bootstrap, "another.", dead.capsys)
    assert "has no topics named another.*.dead" in await nowhere.run("list", code=1)


async def test_a_call_that_fails_each_time_is_set_aside_and_answered(
    client: Client, db: Database, dead: Dead, model: ModelServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its thread's record of sandboxes is broken; the model is told that the code could not be run."""
    settings = Settings(
        kafka_bootstrap=client.settings.kafka_bootstrap,
        mongo_url=client.settings.mongo_url,
        mongo_database=db.name,
        topic_prefix=client.settings.topic_prefix,
        scratch=tmp_path_factory.mktemp("scratch"),
    )
    model.script(call(code("print(1)")), say("I could not."))
    run = await client.create_run(tools=(CODE_INTERPRETER,), ring=False)
    await db["code_sessions"].insert_one({"_id": run.thread_id, "calls": "many"})
    app = build_app(settings)
    async with app.router.lifespan_context(app):
        await client.ring(run, "created")
        ended = await client.until(run, "completed", within_s=40)
    for letter, reason, tries, *_ in await dead.rows():  # one for each time that it was asked for
        assert letter.startswith(TOOL_REQUESTS_CODE.name)
        assert (reason, tries) == ("poisonous", "5")
    assert await dead.rows()
    assert "its worker failed each time" in str(ended.steps[0].calls[0].output)
