"""Without its broker the system works on, more slowly; without its store it says so, then works on."""

from collections.abc import Iterator
from contextlib import suppress
from uuid import uuid4

import pytest

from deploy.local.background import BackgroundStack
from deploy.local.keeper import ProgramError
from tests.e2e.api import Api, text_of
from tests.e2e.order import BEGUN, MESSAGE, check, folded, heard, said
from tests.e2e.test_durability import RECOVERED_WITHIN_S, gated, start
from tests.eventually import eventually
from tests.model_script import say
from tests.model_server import ModelServer

pytestmark = pytest.mark.timeout(300)

HELLO = {"role": "user", "content": "Hello?"}


@pytest.fixture
def api(scripted: BackgroundStack) -> Iterator[Api]:
    with Api(scripted.base_url, scripted.api_key) as api:
        yield api


@pytest.fixture
def stack(scripted: BackgroundStack) -> Iterator[BackgroundStack]:
    yield scripted
    for program in ("store", "broker"):
        with suppress(ProgramError):
            if not scripted.is_ready(program):
                scripted.start(program)


async def test_runs_are_made_worked_on_and_streamed_while_there_is_no_broker(
    stack: BackgroundStack, api: Api, model: ModelServer
) -> None:
    name = f"model-{uuid4().hex[:8]}"
    model.script(*[say("Without ", "a broker.")] * 3, model=name)
    stack.kill("broker")
    made = [api.post(*start(api, name)) for _ in range(2)]
    assert [run["status"] for run in made] == ["queued", "queued"]
    with api.listening(*start(api, name)) as reader:
        events = await reader.ends(within_s=RECOVERED_WITHIN_S)
    check(events)
    assert folded(events) == [*BEGUN, *MESSAGE, "thread.run.completed", "done"]
    assert heard(events) == said(events) == "Without a broker."
    for run in made:
        await api.completes(run, within_s=RECOVERED_WITHIN_S)
        assert [text_of(message) for message in api.messages(run)] == ["Without a broker."]
    assert not stack.is_ready("broker")


async def test_requests_are_told_to_come_again_while_there_is_no_store_and_runs_go_on_after_it(
    stack: BackgroundStack, api: Api, model: ModelServer
) -> None:
    name = f"model-{uuid4().hex[:8]}"
    gate, cut = gated("of the first ", "attempt", before=2)
    model.script(cut, say("of the second attempt"), model=name)
    run = api.post(*start(api, name))
    await gate.reached(within_s=30)
    path = f"/threads/{run['thread_id']}/runs/{run['id']}"
    stack.kill("store")
    for method, where, body in (
        ("GET", path, None),
        ("POST", f"/threads/{run['thread_id']}/messages", HELLO),
    ):
        response = api.client.request(method, where, json=body, headers=api.headers)
        assert response.status_code == 503
        assert (response.headers["retry-after"], response.headers["x-should-retry"]) == ("1", "true")
        error = response.json()["error"]
        assert list(error) == ["message", "type", "param", "code"]
        assert error["type"] == "server_error"
    gate.open()  # the owner cannot save what it hears
    stack.start("store")

    async def answers() -> bool:
        return api.client.get(path, headers=api.headers).status_code == 200

    await eventually(answers, within_s=30)
    await api.completes(run, within_s=RECOVERED_WITHIN_S)
    [message] = api.messages(run)
    assert text_of(message) in ("of the first attempt", "of the second attempt")
