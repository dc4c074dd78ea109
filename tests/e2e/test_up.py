"""``threadmill up``: from nothing to an answer, through crashes, and away without a trace."""

import os
import signal
import socket
import sys
from pathlib import Path

import httpx
import pytest

from deploy.local.folder import DataFolder
from deploy.local.ports import free_port
from tests.e2e.launcher import Launcher, launched
from tests.eventually import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are counted in /proc")

READY = "is ready ("


@pytest.mark.timeout(300)  # two starts, a conversation and two crashes, on a machine that may be busy
async def test_from_the_first_start_to_the_last(tmp_path: Path) -> None:
    """One story, because each start takes seconds: a first start that is killed, and a second one."""
    data, port = tmp_path / "data", free_port()
    arguments = ("--data", str(data), "--port", str(port))

    with launched(tmp_path / "first", *arguments) as launcher:
        await launcher.says("Completed in", within_s=120)
        assert "The answers come from the demo model" in launcher.said
        assert "x = 1" in launcher.said

        async def noted() -> bool:
            return DataFolder(data).welcomed.exists()

        await eventually(noted)
        launcher.signal(signal.SIGKILL)
        await launcher.leaves_nothing()

    with launched(tmp_path / "second", *arguments) as launcher:
        await launcher.says(READY)
        assert names_of_assistants(port, data) == ["Math Tutor"]
        assert "A first conversation" not in launcher.said

        await comes_back(launcher, "broker", "deploy.local.broker")
        await comes_back(launcher, "gateway", "services.gateway")
        assert names_of_assistants(port, data) == ["Math Tutor"]

        launcher.signal(signal.SIGINT)
        assert await launcher.ended() == 0, launcher.logged
        await launcher.leaves_nothing()


async def comes_back(launcher: Launcher, name: str, words: str) -> None:
    os.kill(launcher.child(words), signal.SIGKILL)
    await launcher.logs(f"{name}: it was ended by SIGKILL")
    await launcher.logs(f"{name} is ready", times=2)


def names_of_assistants(port: int, data: Path) -> list[str]:
    answer = httpx.get(
        f"http://127.0.0.1:{port}/v1/assistants",
        headers={"Authorization": f"Bearer {DataFolder(data).api_key()}", "OpenAI-Beta": "assistants=v2"},
    )
    return [assistant["name"] for assistant in answer.raise_for_status().json()["data"]]


async def test_stops_while_it_starts(tmp_path: Path) -> None:
    arguments = ("--data", str(tmp_path / "data"), "--port", str(free_port()))

    with launched(tmp_path / "run", *arguments) as launcher:
        await launcher.logs("in-memory broker")  # the first that is said
        launcher.signal(signal.SIGTERM)

        assert await launcher.ended() == 0, launcher.logged
        await launcher.leaves_nothing()
        assert READY not in launcher.said


async def test_a_second_signal_stops_it_at_once(tmp_path: Path) -> None:
    arguments = ("--data", str(tmp_path / "data"), "--port", str(free_port()))

    with launched(tmp_path / "run", *arguments) as launcher:
        await launcher.logs("in-memory broker")  # the first that is said
        launcher.signal(signal.SIGINT)
        await launcher.logs("stopping")
        launcher.signal(signal.SIGINT)

        assert await launcher.ended() == 0, launcher.logged
        await launcher.leaves_nothing()


async def test_says_that_the_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with launched(tmp_path / "run", "--data", str(tmp_path / "data"), "--port", str(port)) as launcher:
            assert await launcher.ended() == 1
            assert f"port {port} on 127.0.0.1 is taken; choose another one with --port" in launcher.logged


async def test_says_who_uses_the_folder(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with (
        DataFolder(data).locked("http://127.0.0.1:8080/v1", "a model"),
        launched(tmp_path / "run", "--data", str(data), "--port", str(free_port())) as launcher,
    ):
        assert await launcher.ended() == 1
        assert "http://127.0.0.1:8080/v1; stop that first" in launcher.logged
