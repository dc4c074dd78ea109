"""Runs that take too long end by themselves, wherever they stand."""

import time
from collections.abc import Iterator
from uuid import uuid4

import pytest

from deploy.local.background import BackgroundStack
from tests.e2e.api import ENDED, Api, Json
from tests.e2e.order import check
from tests.e2e.pausing import paused
from tests.eventually import eventually
from tests.model_script import Gate, Reply, call, code, function
from tests.model_server import ModelServer

F: Json = {"type": "function", "function": {"name": "f"}}
CODE: Json = {"type": "code_interpreter"}


@pytest.fixture
def api(scripted: BackgroundStack) -> Iterator[Api]:
    with Api(scripted.base_url, scripted.api_key) as api:
        yield api


@pytest.fixture
def name() -> str:
    return f"model-{uuid4().hex[:8]}"


@pytest.fixture(scope="module", autouse=True)
def hasty(scripted: BackgroundStack) -> Iterator[None]:
    """A gateway that gives runs three seconds."""
    scripted.start("gateway", {"THREADMILL_RUN_EXPIRY_S": "3"})
    yield
    scripted.start("gateway")


async def test_runs_expire_wherever_they_are(
    scripted: BackgroundStack, api: Api, model: ModelServer, name: str
) -> None:
    gate = Gate()
    model.script(Reply(deltas=("one ", "two"), gate=gate, gate_before=2), model=f"{name}-llm")
    model.script(call(code("import time; time.sleep(20)")), model=f"{name}-code")
    model.script(call(function("f")), model=f"{name}-user")
    path = f"/threads/{api.thread('Hello')}/runs"
    with api.listening(path, {"assistant_id": api.assistant(f"{name}-llm")}) as reader:
        runs = [
            api.run(api.thread("Hello"), api.assistant(f"{name}-code", tools=[CODE])),
            api.run(api.thread("Hello"), api.assistant(f"{name}-user", tools=[F])),
        ]
        events = await reader.ends()
    check(events)
    assert [event for event, _ in events[-5:-1]] == [
        "thread.message.delta",
        "thread.run.step.expired",
        "thread.message.incomplete",
        "thread.run.expired",
    ]
    assert events[-3][1]["incomplete_details"] == {"reason": "run_expired"}
    for run in runs:
        ended = await api.reaches(run, "expired", within_s=60)
        assert (ended["expires_at"], ended["required_action"]) == (None, None)
        # Code is stopped at the same moment: its step has ended then, one way or the other.
        assert [step["status"] for step in api.steps(run)] in (["expired"], ["completed"])
        error = api.refused("POST", f"/threads/{run['thread_id']}/runs/{run['id']}/cancel")
        assert error["message"] == "Cannot cancel run with status 'expired'."
        api.post(f"/threads/{run['thread_id']}/messages", {"role": "user", "content": "More"})
    gate.open()


async def test_a_queued_run_expires_when_nobody_comes(
    scripted: BackgroundStack, api: Api, model: ModelServer, name: str
) -> None:
    with paused(scripted, "run_orchestrator"):
        run = api.run(api.thread("Hello"), api.assistant(name))
        assert run["expires_at"] == run["created_at"] + 3

        async def late() -> bool:
            now = api.run_of(run)
            return bool(now["status"] in ENDED or now["expires_at"] < time.time())

        await eventually(late)
    ended = await api.reaches(run, "expired", within_s=60)
    assert api.steps(ended) == []
