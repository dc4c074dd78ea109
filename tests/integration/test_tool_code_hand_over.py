"""A thread whose sandbox is gone: its next call finds the files in a new one, here or at another worker."""

import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from services.tool_code.app import build_app
from services.tool_code.settings import Settings
from shared.files.gridfs import GridFSStorage
from shared.files.library import Library
from shared.kafka import connect_admin, ensure_topics
from shared.stores.database import Database
from shared.stores.files import FileStore
from tests.eventually import eventually
from tests.integration.tool_asking import asking, thread, upload


@pytest.fixture
def settings(kafka_bootstrap: str, mongo_url: str, db: Database, tmp_path: Path) -> Settings:
    return Settings(
        kafka_bootstrap=kafka_bootstrap,
        mongo_url=SecretStr(mongo_url),
        mongo_database=db.name,
        topic_prefix=f"t{uuid4().hex[:8]}.",
        scratch=tmp_path / "scratch",
        lease_s=2.0,
    )


def running(settings: Settings) -> AbstractAsyncContextManager[object]:
    app = build_app(settings)
    return app.router.lifespan_context(app)


async def test_another_worker_finds_the_files_and_says_what_is_gone(settings: Settings, db: Database) -> None:
    admin = await connect_admin(settings)
    await ensure_topics(admin, settings)
    await admin.close()
    library = Library(FileStore(db), GridFSStorage(db))
    kept, changed = (
        await upload(library, "kept.csv", b"as uploaded"),
        await upload(library, "a.csv", b"first"),
    )
    write = (
        "x = 1\nimport os; os.mkdir('deep'); open('deep/out.txt', 'w').write('made')\n"
        "open('a.csv', 'w').write('changed'); open('deleted.txt', 'w').write('made')"
    )
    read = "print(open('deep/out.txt').read(), open('a.csv').read(), open('kept.csv').read()); print(x)"
    mine = thread()
    async with asking(settings) as orchestrator:
        async with running(settings):
            first = await orchestrator.ask(write, thread=mine, files=(kept, changed))
            made = {file["path"]: file["file_id"] for file in (await orchestrator.answer_to(first)).files}
            assert set(made) == {"deep/out.txt", "a.csv", "deleted.txt"}
        deleted = await library.store.get("p", made["deleted.txt"], time.time())
        assert deleted is not None
        await library.delete(deleted)
        async with running(settings):
            second = await orchestrator.ask(read, thread=mine, files=(kept, changed))
            result = await orchestrator.answer_to(second)
            third = await orchestrator.ask("print(open('a.csv').read())", thread=mine, files=(kept, changed))
            assert (await orchestrator.answer_to(third)).output == "changed\n"
    told, back, printed, *_ = result.output.splitlines()
    assert told == "The sandbox is new: variables of earlier calls are gone."
    assert back == "Of the files that they wrote, these are in /mnt/data again: a.csv, deep/out.txt."
    assert printed == "made changed as uploaded"
    assert "NameError" in result.output
    assert {file["path"]: file["file_id"] for file in result.files} == {
        path: made[path] for path in ("deep/out.txt", "a.csv")
    }


async def test_a_newer_upload_wins_over_what_the_code_made_of_an_older_one(
    settings: Settings, db: Database
) -> None:
    admin = await connect_admin(settings)
    await ensure_topics(admin, settings)
    await admin.close()
    library = Library(FileStore(db), GridFSStorage(db))
    older, newer = await upload(library, "a.csv", b"older"), await upload(library, "a.csv", b"newer")
    mine = thread()
    async with asking(settings) as orchestrator:
        async with running(settings):
            write = await orchestrator.ask("open('a.csv', 'w').write('mine')", thread=mine, files=(older,))
            await orchestrator.answer_to(write)
        async with running(settings):
            read = await orchestrator.ask("print(open('a.csv').read())", thread=mine, files=(newer,))
            assert (await orchestrator.answer_to(read)).output.endswith("newer\n")


async def test_a_stopped_worker_finishes_the_call_that_it_runs(settings: Settings, db: Database) -> None:
    settings = settings.model_copy(update={"drain_s": 20.0})
    admin = await connect_admin(settings)
    await ensure_topics(admin, settings)
    await admin.close()

    async def taken() -> bool:
        return await db["code_sessions"].find_one({}) is not None

    async with asking(settings) as orchestrator:
        async with running(settings):
            asked = await orchestrator.ask("import time; time.sleep(2); print('to its end')", thread=thread())
            await eventually(taken)
        assert (await orchestrator.answer_to(asked)).output == "to its end\n"
