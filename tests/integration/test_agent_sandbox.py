"""The backend of agent-sandbox, with its real client, against a cluster that is none (``cluster.py``)."""

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from services.tool_code.sandbox.agent_sandbox import AgentSandboxBackend, Pods
from services.tool_code.sandbox.choose import choose_backend
from services.tool_code.sandbox.driver.listen import token_for
from services.tool_code.sandbox.errors import SandboxStartFailed, SandboxUnavailable
from services.tool_code.sandbox.runtime import prepare
from services.tool_code.sandbox.session import Session
from tests.eventually import eventually
from tests.integration.cluster import Cluster, cluster
from tests.integration.sandboxes import IMAGE, LIMITS, PATIENT_S, logs

pytest.importorskip("k8s_agent_sandbox")


@pytest.fixture(scope="module")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with cluster(prepare(folder), LIMITS, folder) as running:
        yield running


@pytest.fixture(scope="module")
def backend(kubernetes: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AgentSandboxBackend:
    """Chosen as the service does it, which runs code in a first pod."""
    pods = Pods("sandboxes", "here", kubernetes.secret, kubernetes.port)
    scratch = tmp_path_factory.mktemp("scratch")
    choose = partial(choose_backend, "agent-sandbox", limits=LIMITS, image=IMAGE, runtime=None, pods=pods)
    with ThreadPoolExecutor(1) as pool:
        chosen = pool.submit(choose, scratch=scratch).result()
    assert isinstance(chosen, AgentSandboxBackend)
    return chosen


@pytest.fixture(autouse=True)
def nothing_left(kubernetes: Cluster) -> Iterator[None]:
    """Whatever a test that fails has left is not the next one's."""
    yield
    for name in list(kubernetes.claims):
        kubernetes.delete(name)


@pytest.fixture
async def session(backend: AgentSandboxBackend) -> AsyncIterator[Session]:
    session = await backend.start("thread_1")
    yield session
    await session.close()


async def test_a_pod_is_a_sandbox_like_any_other(session: Session, kubernetes: Cluster) -> None:
    (claim,) = kubernetes.claims.values()
    assert claim["spec"]["warmPoolRef"] == {"name": "sandboxes"}
    ends = claim["spec"]["lifecycle"]
    assert (ends["shutdownPolicy"], ends["ttlSecondsAfterFinished"]) == ("Delete", 0)
    await session.put("a.csv", b"x,y\n1,2\n")
    assert await logs(session, "import pandas as p; x = p.read_csv('/mnt/data/a.csv').y[0]; print(x)") == "2"
    drawn = await session.run("import matplotlib.pyplot as plt; plt.plot([1, 2]);", timeout_s=PATIENT_S)
    assert [image[:4] for image in drawn.images] == [b"\x89PNG"]
    late = await session.run("open('b', 'w').write('b'); import time; time.sleep(99)", timeout_s=0.5)
    assert (late.status, late.files) == ("timeout_interrupted", ("b",))
    assert await session.get("b") == b"b"
    assert await logs(session, "print(x)") == "2"
    many = await session.run("import subprocess\nwhile True: subprocess.Popen(['sleep', '99'])", timeout_s=30)
    assert "could not be started" in (many.notice or "")
    assert await logs(session, "1 + 1") == "2"


async def test_the_code_finds_nothing_of_the_secret(session: Session, kubernetes: Cluster) -> None:
    look = """
import glob
found = []
for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"):
    try:
        found.append(open(path).read())
    except OSError:
        pass
print(len(found), found)
"""
    seen = await logs(session, look)
    assert int(seen.split()[0]) >= 2
    assert kubernetes.secret not in seen


async def test_only_the_token_of_the_pod_opens_it(backend: AgentSandboxBackend, kubernetes: Cluster) -> None:
    address = await asyncio.to_thread(backend._claim, "a-claim", threading.Event())
    for wrong in (
        b"",
        b"short",
        b"0" * 64,
        token_for(kubernetes.secret, "127.0.0.1"),
        token_for("", address),
    ):
        with socket.create_connection((address, kubernetes.port), timeout=10) as stranger:
            try:
                stranger.sendall(wrong + b"\0\0\0\2\1{}")
                stranger.shutdown(socket.SHUT_WR)
                answered = stranger.recv(1)
            except TimeoutError:
                raise
            except OSError:  # it had hung up before we did
                answered = b""
            assert answered == b""
    _, writer = await backend._connect(address)  # waits for the right one all the time
    writer.close()
    await eventually(lambda: no_claims(kubernetes))


async def test_closing_it_or_losing_it_ends_the_pod_and_the_claim(
    backend: AgentSandboxBackend, kubernetes: Cluster
) -> None:
    first, second = await backend.start("1"), await backend.start("2")
    await first.close()
    assert len(kubernetes.claims) == 1
    second._channel.reader._transport.abort()  # type: ignore[attr-defined]  # as if the service had been killed
    await eventually(lambda: no_claims(kubernetes))
    await second.close()
    assert all(pod.poll() is not None for pod in kubernetes.pods.values())


async def test_a_start_that_is_given_up_leaves_no_claim(
    backend: AgentSandboxBackend, kubernetes: Cluster
) -> None:
    starting = asyncio.create_task(backend.start("1"))

    async def claimed() -> bool:
        return bool(kubernetes.claims)

    await eventually(claimed)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await eventually(lambda: no_claims(kubernetes))


async def test_what_the_cluster_refuses_is_said(
    backend: AgentSandboxBackend, kubernetes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes, "refusing", "WarmPoolNotFound")
    with pytest.raises(SandboxStartFailed, match="WarmPool"):
        await backend.start("1")
    assert not kubernetes.claims


def test_it_is_never_chosen_by_itself_and_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SandboxUnavailable, match="THREADMILL_SANDBOX_SECRET"):
        choose_backend(
            "agent-sandbox", limits=LIMITS, scratch=tmp_path, image=IMAGE, runtime=None, pods=Pods()
        )
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", os.devnull)
    with pytest.raises(SandboxUnavailable, match="Kubernetes API"):
        AgentSandboxBackend(Pods(secret="s"), None, LIMITS)


async def no_claims(kubernetes: Cluster) -> bool:
    return not kubernetes.claims
