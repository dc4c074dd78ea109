"""Every Kafka client of every service says who it is, over TLS: the stack on an Apache Kafka that insists.

``deploy/kafka/run --port 19092 --secure`` starts one; ``TEST_SECURE_KAFKA=19092`` names its port.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from deploy.local.background import BackgroundStack, running
from deploy.local.stack import Options
from tests.e2e.api import Api
from tests.e2e.conftest import QUICK

ROOT = Path(__file__).parents[2]
SERVICES = ("gateway", "run_orchestrator", "tool_code")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackgroundStack]:
    port = os.environ.get("TEST_SECURE_KAFKA")
    if not port:
        pytest.skip("TEST_SECURE_KAFKA names no Apache Kafka that was started with --secure")
    env = {
        **QUICK,
        "THREADMILL_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "THREADMILL_KAFKA_CA_FILE": str(ROOT / f"deploy/kafka/target/node-{port}/tls/ca.pem"),
        "THREADMILL_TOPIC_PREFIX": f"test-{uuid4().hex[:8]}.",
        **user("gateway"),
    }
    data = tmp_path_factory.mktemp("secured")
    options = Options(data=data, services=(), kafka=f"127.0.0.1:{int(port) + 2}", env=env)
    with running(options) as stack:
        for service in SERVICES:
            stack.start(service, user(service))
        yield stack


def user(service: str) -> dict[str, str]:
    """The principal of a service, as deploy/kafka/run makes them."""
    name = service.replace("_", "-")
    return {
        "THREADMILL_KAFKA_USERNAME": f"threadmill-{name}",
        "THREADMILL_KAFKA_PASSWORD": f"{name}-password",
    }


async def test_a_run_with_code_streams_and_completes(secured: BackgroundStack) -> None:
    with Api(secured.base_url, secured.api_key) as api:
        assistant = api.assistant(tools=[{"type": "code_interpreter"}])
        thread = api.thread("I need to solve the equation `3x + 11 = 14`. Can you help me?")
        events = api.stream(f"/threads/{thread}/runs", {"assistant_id": assistant})
        assert [name for name, _ in events][-2:] == ["thread.run.completed", "done"]
        steps = api.steps(events[-2][1])
        assert {step["type"] for step in steps} == {"tool_calls", "message_creation"}
