"""Lists by their four parameters, as the SDKs of all ages go through them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from deploy.local.background import BackgroundStack
from tests.e2e.api import Api, Json
from tests.e2e.sdks import SDKS

V1_3 = next(sdk for sdk in SDKS if sdk.name == "python-1.3.9")
# This SDK ignores ``has_more``: it asks on until a page is empty.
OLD_SCRIPT = """
from openai import OpenAI
thread, run = open("ids").read().split()
beta = OpenAI().beta
for what, page in (
    ("messages", beta.threads.messages.list(thread, limit=2)),
    ("runs", beta.threads.runs.list(thread, limit=1, order="asc")),
    ("steps", beta.threads.runs.steps.list(thread_id=thread, run_id=run, limit=1)),
):
    print(what, *(each.id for each in page))
page = beta.assistants.list(limit=2, order="asc", after=open("after").read())
print("assistants", *(each.id for each in page))
"""


@pytest.fixture(scope="module")
def api(threadmill: BackgroundStack) -> Iterator[Api]:
    with Api(threadmill.base_url, threadmill.api_key) as api:
        yield api


@pytest.fixture(scope="module")
def assistants(api: Api) -> list[str]:
    return [api.assistant(name=str(n), tools=[{"type": "code_interpreter"}]) for n in range(5)]


@pytest.fixture(scope="module")
def runs(api: Api, assistants: list[str], client: OpenAI) -> list[Json]:
    """Three runs of one thread, of two messages and three steps each."""
    thread = api.thread("What is 6 * 7?")
    made = []
    for _ in range(3):
        run = client.beta.threads.runs.create_and_poll(thread_id=thread, assistant_id=assistants[0])
        assert run.status == "completed"
        made.append(api.get(f"/threads/{thread}/runs/{run.id}"))
        api.post(f"/threads/{thread}/messages", {"role": "user", "content": "What is 6 * 7?"})
    return made


@pytest.fixture(scope="module")
def client(threadmill: BackgroundStack) -> Iterator[OpenAI]:
    with OpenAI(base_url=threadmill.base_url, api_key=threadmill.api_key) as client:
        yield client


def all_of(api: Api, path: str, order: str) -> list[str]:
    return [each["id"] for each in api.get(path, order=order, limit=100)["data"]]


def test_the_newest_sdk_pages_through_everything(
    api: Api, client: OpenAI, runs: list[Json], assistants: list[str]
) -> None:
    thread, run = runs[0]["thread_id"], runs[0]["id"]
    threads = client.beta.threads
    messages = threads.messages.list(thread, limit=2)
    assert [each.id for each in messages] == all_of(api, f"/threads/{thread}/messages", "desc")
    assert [each.id for each in threads.runs.list(thread, limit=2, order="asc")] == [r["id"] for r in runs]
    steps = threads.runs.steps.list(run, thread_id=thread, limit=1, order="asc")
    assert [each.id for each in steps] == all_of(api, f"/threads/{thread}/runs/{run}/steps", "asc")
    listed = client.beta.assistants.list(limit=2, order="asc", after=assistants[0])
    assert [each.id for each in listed][:4] == assistants[1:]
    own = threads.messages.list(thread, limit=1, run_id=run)
    assert [each.run_id for each in own] == [run, run]


def test_an_sdk_that_asks_until_a_page_is_empty(
    api: Api, threadmill: BackgroundStack, runs: list[Json], assistants: list[str], tmp_path: Path
) -> None:
    thread, run = runs[-1]["thread_id"], runs[-1]["id"]
    (tmp_path / "ids").write_text(f"{thread} {run}")
    (tmp_path / "after").write_text(assistants[0])
    (tmp_path / "source").mkdir()
    script = tmp_path / "source" / "script.py"
    script.write_text(OLD_SCRIPT)
    ended = V1_3.run(script, tmp_path, base_url=threadmill.base_url, api_key=threadmill.api_key)
    assert ended.returncode == 0, ended.stderr
    printed = {what: ids for what, *ids in (line.split() for line in ended.stdout.splitlines())}
    assert printed["messages"] == all_of(api, f"/threads/{thread}/messages", "desc")
    assert printed["runs"] == [each["id"] for each in runs]
    assert printed["steps"] == all_of(api, f"/threads/{thread}/runs/{run}/steps", "desc")
    assert printed["assistants"][:4] == assistants[1:]


@pytest.mark.parametrize("kind", ["assistants", "messages", "runs", "steps"])
def test_all_four_parameters(api: Api, runs: list[Json], assistants: list[str], kind: str) -> None:
    thread, run = runs[0]["thread_id"], runs[0]["id"]
    path = {
        "assistants": "/assistants",
        "messages": f"/threads/{thread}/messages",
        "runs": f"/threads/{thread}/runs",
        "steps": f"/threads/{thread}/runs/{run}/steps",
    }[kind]
    newest = api.get(path, limit=3)
    a, b, c = [each["id"] for each in newest["data"]]
    assert (newest["object"], newest["first_id"], newest["last_id"]) == ("list", a, c)
    first = api.get(path, limit=1)
    assert ([each["id"] for each in first["data"]], first["has_more"]) == ([a], True)

    def ids(**query: object) -> list[str]:
        return [each["id"] for each in api.get(path, **query)["data"]]

    assert ids(after=a, limit=2) == [b, c]
    assert ids(after=a, limit=1) == [b]
    assert ids(before=c) == [a, b]
    assert ids(before=c, limit=1) == [b]
    assert ids(before=a) == []
    assert ids(after=a, before=c) == [b]
    assert ids(order="asc", after=c) == [b, a]
    assert ids(order="asc", before=a, limit=2) == [c, b]
    assert ids(order="asc", before=a, limit=1) == [b]
    everything = ids(order="asc", limit=100)
    assert everything[-3:] == [c, b, a]
    assert ids(limit=100) == everything[::-1]
    last = api.get(path, after=everything[0])
    empty: Json = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    assert last == empty  # a cursor at the end is no error
    assert api.get(path, after="nothing_of_that_id") == empty
    for bad in ("limit=0", "limit=101", "limit=x", "order=up"):
        assert api.refused("GET", f"{path}?{bad}")["param"] == bad.partition("=")[0]


def test_pages_stay_valid_while_messages_arrive_and_go(api: Api) -> None:
    thread = api.thread(*"abcdef")
    path = f"/threads/{thread}/messages"
    page = api.get(path, limit=2)
    api.post(path, {"role": "user", "content": "new"})
    api.delete(f"{path}/{page['last_id']}")
    rest = api.get(path, after=page["last_id"])
    assert [each["content"][0]["text"]["value"] for each in rest["data"]] == ["d", "c", "b", "a"]
