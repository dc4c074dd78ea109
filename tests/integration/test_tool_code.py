"""tool_code against a real broker, a real store and the sandbox that this machine has."""

import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer
from pydantic import SecretStr

from services.tool_code.app import build_app
from services.tool_code.files import MOST_FILES
from services.tool_code.settings import Settings
from shared.events import Control
from shared.files.for_code import LARGEST_BYTES
from shared.files.gridfs import GridFSStorage
from shared.files.library import Library
from shared.ids import new_id
from shared.kafka import connect_admin, ensure_topics
from shared.stores.database import Database, connect
from shared.stores.executions import ExecutionStore
from shared.stores.files import FileStore
from shared.stores.page import PageQuery
from shared.topics import TOOL_REQUESTS_CODE
from tests.eventually import eventually
from tests.integration.tool_asking import Orchestrator, asking, thread, upload

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def settings(kafka_bootstrap: str, mongo_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(
        kafka_bootstrap=kafka_bootstrap,
        mongo_url=SecretStr(mongo_url),
        mongo_database=f"test_{uuid4().hex[:12]}",
        topic_prefix=f"t{uuid4().hex[:8]}.",
        scratch=tmp_path_factory.mktemp("scratch"),
        lease_s=2.0,
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def db(settings: Settings) -> AsyncIterator[Database]:
    database = connect(settings.mongo_url.get_secret_value(), settings.mongo_database)
    yield database
    await database.client.drop_database(database.name)
    database.client.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(settings: Settings) -> AsyncIterator[None]:
    """One service for all tests of this module: finding a sandbox that works takes seconds."""
    admin = await connect_admin(settings)
    await ensure_topics(admin, settings)
    await admin.close()
    app = build_app(settings)
    async with app.router.lifespan_context(app):
        yield


@pytest_asyncio.fixture(loop_scope="module")
async def orchestrator(settings: Settings, service: None) -> AsyncIterator[Orchestrator]:
    async with asking(settings) as asker:
        yield asker


@pytest.fixture
def library(db: Database) -> Library:
    return Library(FileStore(db), GridFSStorage(db))


async def outputs_of(library: Library) -> dict[str, str]:
    """What the code has made: id -> name."""
    query = PageQuery(limit=100)
    files, _ = await library.store.page("p", query, purpose="assistants_output", now=time.time())
    return {file["_id"]: file["filename"] for file in files}


async def test_code_runs_and_variables_stay_with_the_thread(orchestrator: Orchestrator) -> None:
    mine = thread()
    await orchestrator.ask("x = 20 + 1", thread=mine)
    await orchestrator.result()
    request = await orchestrator.ask("print('twice', x * 2)\nx", thread=mine)
    result = await orchestrator.result()
    assert (result.call_id, result.token) == (request.call_id, "t")
    assert result.output == "twice 42\n21\n"
    assert result.outputs == ({"type": "logs", "logs": "twice 42\n21\n"},)
    await orchestrator.ask("x", thread=thread())
    assert "NameError" in (await orchestrator.result()).output


async def test_a_repeated_request_is_answered_from_the_ledger(orchestrator: Orchestrator) -> None:
    mine, call = thread(), new_id("call")
    await orchestrator.ask("import random; print(random.random())", thread=mine, call=call)
    first = await orchestrator.result()
    await orchestrator.ask("import random; print(random.random())", thread=mine, call=call)
    assert await orchestrator.result() == first


async def test_calls_of_several_threads_run_side_by_side(orchestrator: Orchestrator) -> None:
    meet = "import time; print('begun', time.time()); time.sleep(1); print('ended', time.time())"
    for _ in range(2):
        await orchestrator.ask(meet, thread=thread())
    spans = [(await orchestrator.result()).output.split() for _ in range(2)]
    (begun_1, ended_1), (begun_2, ended_2) = [(float(s[1]), float(s[3])) for s in spans]
    assert max(begun_1, begun_2) < min(ended_1, ended_2)


async def test_calls_of_one_thread_run_in_their_order(orchestrator: Orchestrator) -> None:
    mine = thread()
    count = "n = globals().get('n', 0) + 1; print(n)"
    asked = [(await orchestrator.ask(count, thread=mine)).call_id for _ in range(8)]
    outputs = {result.call_id: result.output for result in [await orchestrator.result() for _ in asked]}
    assert [outputs[call_id] for call_id in asked] == [f"{number}\n" for number in range(1, 9)]


async def test_a_cancelled_run_frees_its_sandbox(orchestrator: Orchestrator, db: Database) -> None:
    mine, run = thread(), new_id("run")
    request = await orchestrator.ask("while True: pass", thread=mine, run=run)

    async def begun() -> bool:
        return await db["tool_executions"].find_one({"_id": request.call_id}) is not None

    await eventually(begun)
    await orchestrator.publisher.control(Control(run_id=run, thread_id=mine))
    await orchestrator.ask("print('free')", thread=mine)
    assert (await orchestrator.result()).output == "free\n"


async def test_a_call_of_a_lost_worker_is_run_again_only_if_nothing_depends_on_its_sandbox(
    orchestrator: Orchestrator, db: Database
) -> None:
    dead = ExecutionStore(db, "dead worker", lease_s=1.0)
    first, second, used = new_id("call"), new_id("call"), thread()
    await dead.claim(first, "run_1", time.time())
    await orchestrator.ask("print('again')", thread=thread(), call=first)
    assert (await orchestrator.result()).output == "again\n"
    await db["code_sessions"].insert_one({"_id": used, "owner": "dead worker", "calls": 3})
    await dead.claim(second, "run_1", time.time())
    await orchestrator.ask("print(x)", thread=used, call=second)
    assert "The sandbox was lost" in (await orchestrator.result()).output


async def test_what_a_new_sandbox_must_know_is_noted_when_it_changes(
    orchestrator: Orchestrator, db: Database
) -> None:
    mine = thread()

    async def noted_after(code: str) -> tuple[int, list[str]]:
        await orchestrator.ask(code, thread=mine)
        await orchestrator.result()
        session = await db["code_sessions"].find_one({"_id": mine})
        assert session is not None
        return session["calls"], [file["path"] for file in session["files"]]

    assert await noted_after("1") == (1, [])
    assert await noted_after("2") == (1, [])
    assert await noted_after("open('a.txt', 'w').write('a')") == (2, ["a.txt"])
    assert await noted_after("3") == (2, ["a.txt"])


async def test_an_unreadable_request_is_set_aside_and_the_next_one_runs(
    orchestrator: Orchestrator, settings: Settings
) -> None:
    dead = AIOKafkaConsumer(
        settings.topic_prefix + TOOL_REQUESTS_CODE.name + ".dead",
        bootstrap_servers=settings.kafka_bootstrap,
        auto_offset_reset="earliest",
    )
    await dead.start()
    mine = thread()
    await orchestrator.publisher.request(TOOL_REQUESTS_CODE, mine, Control(run_id="r", thread_id=mine))
    await orchestrator.ask("print(1)", thread=mine)
    assert (await orchestrator.result()).output == "1\n"
    assert b'"run_id":"r"' in (await dead.getone()).value
    await dead.stop()


async def test_the_code_reads_files_under_their_id_and_their_name(
    orchestrator: Orchestrator, library: Library
) -> None:
    mine = thread()
    first, second = await upload(library, "../a.csv", b"x\n1\n"), await upload(library, "b.csv", b"x\n2\n")
    read = f"print(open('a.csv').read() == open('{first}').read()); open('a.csv', 'w').write('mine')"
    await orchestrator.ask(read, thread=mine, files=(first, "file-gone"))
    assert (await orchestrator.result()).output == "True\n4\n"
    more = "print(open('a.csv').read(), open('b.csv').read())"
    await orchestrator.ask(more, thread=mine, files=(first, second))
    assert (await orchestrator.result()).output == "mine x\n2\n\n"


async def test_the_model_is_told_once_of_a_file_that_is_too_large(
    orchestrator: Orchestrator, library: Library, db: Database
) -> None:
    mine, large = thread(), await upload(library, "large.bin", b"x")
    await db["files"].update_one({"_id": large}, {"$set": {"bytes": LARGEST_BYTES + 1}})
    told = f"The file large.bin ({large}) is not there: it is larger than 32 MiB."
    for output in (f"{told}\n1\n", "1\n"):
        await orchestrator.ask("print(1)", thread=mine, files=(large,))
        assert (await orchestrator.result()).output == output


async def test_files_leave_the_code_room_on_its_disk(
    orchestrator: Orchestrator, library: Library, settings: Settings
) -> None:
    part = settings.sandbox_limits.disk_bytes // 10
    files = [await upload(library, f"{n}.bin", b"x" * part) for n in range(4)]
    await orchestrator.ask("import os; print(len(os.listdir()))", thread=thread(), files=tuple(files))
    told = (await orchestrator.result()).output.splitlines()
    missing = f"/mnt/data/{files[3]}"
    assert told == [f"The file 3.bin ({files[3]}) is not at {missing}: there is no more room for files.", "7"]


async def test_images_become_files_once(orchestrator: Orchestrator, library: Library) -> None:
    mine, call = thread(), new_id("call")
    code = (
        "import matplotlib.pyplot as plt\nfor n in range(2):\n    plt.plot([n, 1])\n    plt.show()\nprint(1)"
    )
    request = await orchestrator.ask(code, thread=mine, call=call)
    result = await orchestrator.result()
    assert result.output == "1\n\n[2 images were shown to the user.]"
    logs, *images = result.outputs
    assert logs == {"type": "logs", "logs": "1\n"}
    ids = [image["image"]["file_id"] for image in images]
    found = await library.store.get_many("p", ids, time.time())
    assert [found[each]["filename"] for each in ids] == ["image-1.png", "image-2.png"]
    assert {found[each]["purpose"] for each in ids} == {"assistants_output"}
    content = await library.content(found[ids[0]])
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    before = await outputs_of(library)
    await orchestrator.ask(code, thread=mine, call=call)
    assert await orchestrator.result() == result
    assert await outputs_of(library) == before
    assert request.project_id == "p"


async def test_a_figure_left_open_under_agg_is_shown(orchestrator: Orchestrator) -> None:
    code = "import matplotlib\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]);"
    await orchestrator.ask(code, thread=thread())
    assert [output["type"] for output in (await orchestrator.result()).outputs] == ["image"]


async def test_files_that_the_code_writes_are_kept(orchestrator: Orchestrator, library: Library) -> None:
    mine, given = thread(), await upload(library, "given.csv", b"x")
    write = (
        "import os; os.mkdir('deep')\nfor p in ('out.csv', 'deep/b.txt', '.hidden'): open(p, 'w').write(p)"
    )
    await orchestrator.ask(write, thread=mine, files=(given,))
    made = {file["path"]: file["file_id"] for file in (await orchestrator.result()).files}
    assert set(made) == {"out.csv", "deep/b.txt"}
    stored = await library.store.get("p", made["deep/b.txt"], time.time())
    assert stored is not None
    assert (stored["filename"], await library.content(stored)) == ("b.txt", b"deep/b.txt")
    await orchestrator.ask("os.remove('out.csv'); open('deep/b.txt', 'w').write('new')", thread=mine)
    after = {file["path"]: file["file_id"] for file in (await orchestrator.result()).files}
    assert set(after) == {"deep/b.txt"}
    assert after["deep/b.txt"] != made["deep/b.txt"]
    await orchestrator.ask("1", thread=mine)
    assert {file["path"]: file["file_id"] for file in (await orchestrator.result()).files} == after


async def test_of_many_files_the_newest_are_kept_and_the_model_is_told(orchestrator: Orchestrator) -> None:
    write = "import time\nfor n in range(100): open(f'{n}.txt', 'w').close()\n"
    await orchestrator.ask(write + "time.sleep(0.1); open('all.zip', 'w').close()", thread=thread())
    result = await orchestrator.result()
    assert len(result.files) == MOST_FILES
    assert result.files[-1]["path"] == "all.zip"
    assert "only the 20 newest can be downloaded" in result.output


async def test_the_model_is_told_of_a_file_that_is_too_large_to_be_downloaded(
    orchestrator: Orchestrator,
) -> None:
    large = LARGEST_BYTES + 1
    await orchestrator.ask(f"open('large.bin', 'wb').truncate({large});", thread=thread())
    result = await orchestrator.result()
    assert result.output == f"[large.bin cannot be downloaded: {large} bytes are too many.]"
    assert result.outputs == ()


async def test_saved_pictures_are_shown_unless_figures_were(orchestrator: Orchestrator) -> None:
    save = (
        "import time; from PIL import Image\n"
        "for name in 'ba': Image.new('RGB', (9, 9)).save(f'{name}.png'); time.sleep(0.1)\n"
    )
    await orchestrator.ask(save, thread=thread())
    result = await orchestrator.result()
    made = {file["path"]: file["file_id"] for file in result.files}
    assert [image["image"]["file_id"] for image in result.outputs] == [made["b.png"], made["a.png"]]
    assert result.output == "[2 images were shown to the user.]"
    await orchestrator.ask(save + "Image.open('a.png')", thread=thread())
    (shown,) = (await orchestrator.result()).outputs
    assert shown["image"]["file_id"] not in made.values()
