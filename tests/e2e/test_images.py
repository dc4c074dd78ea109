"""Our images as ``deploy/compose.yaml`` starts them: behind its walls, healthy, killed like any process."""

import io
from collections.abc import Iterator

import pytest

from deploy.local.conversation import shown
from tests import containers
from tests.containers import SERVICES, Composed, all_in_one, composed
from tests.e2e.api import Api, text_of
from tests.eventually import eventually
from tests.processes import free_port

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def stack() -> Iterator[Composed]:
    if what := containers.missing():
        pytest.skip(what)
    with composed() as stack:
        yield stack


async def test_one_image_is_all_of_it() -> None:
    if what := containers.missing():
        pytest.skip(what)
    with all_in_one("--port", str(free_port())) as container:

        async def has_shown_a_conversation() -> bool:
            container.reload()
            assert container.status == "running", container.logs().decode(errors="replace")
            return b"Completed in" in container.logs()

        await eventually(has_shown_a_conversation, within_s=180)
        assert "x = 1" in container.logs().decode()
        container.kill("SIGTERM")
        assert container.wait(timeout=60)["StatusCode"] == 0


async def test_a_conversation(stack: Composed) -> None:
    said = io.StringIO()
    assert await shown(stack.base_url, stack.api_key, said), said.getvalue()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_nobody_and_can_write_nothing(stack: Composed, name: str) -> None:
    assert stack.inside(name, "id", "-u") == "10001"
    tried = (
        "import pathlib\ntry: pathlib.Path('/opt/threadmill/x').touch()\nexcept OSError as e: print(e.errno)"
    )
    assert stack.inside(name, "python", "-c", tried) == "30"  # a read-only file system
    capabilities = stack.inside(name, "grep", "CapEff", "/proc/self/status")
    assert int(capabilities.split()[1], 16) == 0


async def test_killed_services_come_back_and_the_run_ends(stack: Composed) -> None:
    with Api(stack.base_url, stack.api_key) as api:
        assistant = api.assistant(tools=[{"type": "code_interpreter"}])
        run = api.run(api.thread("I need to solve the equation `3x + 11 = 14`. Can you help me?"), assistant)
        for name in ("run-orchestrator", "tool-code"):
            stack.kill(name)
        for name in ("run-orchestrator", "tool-code"):
            stack.start(name)
        await api.completes(run, within_s=180)
        assert "x = 1" in text_of(api.messages(run)[-1])
