"""Docker: a container per session, from an image that holds nothing of ours but the driver."""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import LogConfig, Ulimit
from docker.utils import kwargs_from_env

from services.tool_code.sandbox.channel import DIAGNOSIS_BYTES, STREAM_LIMIT_BYTES
from services.tool_code.sandbox.errors import SandboxStartFailed, SandboxUnavailable
from services.tool_code.sandbox.limits import MIB, Limits
from services.tool_code.sandbox.runtime import driver_command, policy_for
from services.tool_code.sandbox.session import Session

DATA, HOME = "/mnt/data", "/tmp"
PYTHON, DRIVER_ROOT, FONT_CACHE = "/opt/venv/bin/python", "/opt/sandbox", "/opt/sandbox/fonts"
USER = 10001
HOME_BYTES, SHARED_MEMORY_BYTES, INODES = 64 * MIB, 16 * MIB, 20_000
DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
API_TIMEOUT_S = 30
LIMITED = ("MemoryLimit", "PidsLimit")  # as a daemon says of itself; rootless ones often cannot
STREAM_HEADER = struct.Struct(">BxxxI")  # Docker's own frames around standard output and error
STANDARD_ERROR = 2
ATTACH = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}


class DockerBackend:
    """Needs a daemon and the sandbox image; ``runtime`` may name a stronger one, as runsc or kata."""

    name = "docker"

    def __init__(self, image: str, runtime: str | None, limits: Limits) -> None:
        self._client = _connected(image)
        self.description = f"containers ({runtime or 'default runtime'}), seccomp, cgroup limits, no network"
        self._image = image
        self._runtime = runtime
        self._limits = limits

    async def start(self, session_id: str) -> Session:
        try:
            identity, attached = await asyncio.to_thread(self._create)
        except (DockerException, OSError) as error:
            raise SandboxStartFailed(str(error)) from error
        reader, writer = await asyncio.open_connection(sock=attached, limit=STREAM_LIMIT_BYTES)
        channel = _ContainerChannel(self._client, identity, reader, writer)
        return await Session.open(session_id, channel, self._limits)

    async def close(self) -> None:
        await asyncio.to_thread(self._client.close)

    def _create(self) -> tuple[str, socket.socket]:
        """Create, attach, start: in this order no output is lost."""
        api = self._client.api
        created = api.create_container(
            self._image,
            self._command(),
            user=f"{USER}:{USER}",
            stdin_open=True,
            # Not detached, so its standard input closes with our connection: when we die, it ends.
            detach=False,
            hostname="sandbox",
            network_disabled=True,
            labels={"threadmill": "sandbox"},
            host_config=api.create_host_config(**self._flags()),
        )
        identity: str = created["Id"]
        try:
            attached = api.attach_socket(identity, params=ATTACH)
            raw: socket.socket = getattr(attached, "_sock", attached)
            ours = socket.socket(fileno=os.dup(raw.fileno()))
            attached.close()
            raw.close()  # the file object above does not own it
            api.start(identity)
        except (DockerException, OSError):
            _remove(self._client, identity)
            raise
        return identity, ours

    def _command(self) -> list[str]:
        policy = policy_for(
            self._limits,
            data_dir=DATA,
            home_dir=HOME,
            process_cap="cgroup",
            uid=None,
            font_cache=FONT_CACHE,
        )
        return driver_command(PYTHON, DRIVER_ROOT, policy)

    def _flags(self) -> dict[str, Any]:
        limits = self._limits
        owner = f"uid={USER},gid={USER}"
        data = f"rw,nosuid,nodev,noexec,size={limits.disk_bytes},nr_inodes={INODES},mode=0700,{owner}"
        home = f"rw,nosuid,nodev,noexec,size={HOME_BYTES},nr_inodes={INODES},mode=0700,{owner}"
        return {
            "network_mode": "none",
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "pids_limit": limits.processes + 1,  # the supervisor counts, too
            "mem_limit": limits.memory_bytes,
            "memswap_limit": limits.memory_bytes,
            "nano_cpus": int(limits.cpus * 1e9),
            "tmpfs": {DATA: data, HOME: home},
            "shm_size": SHARED_MEMORY_BYTES,
            "ipc_mode": "private",
            "log_config": LogConfig(type="none"),  # the default one writes all output to the host's disk
            "ulimits": [
                Ulimit(name="nofile", soft=limits.open_files, hard=limits.open_files),
                Ulimit(name="core", soft=0, hard=0),
            ],
            "auto_remove": True,
            "runtime": self._runtime,
        }


class _ContainerChannel:
    """The attached streams of one container."""

    def __init__(
        self,
        client: docker.DockerClient,
        identity: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.reader = _StandardOutput(reader)
        self._client = client
        self._identity = identity
        self._writer = writer
        self._removal: asyncio.Task[None] | None = None

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def kill(self) -> None:
        self._writer.close()
        if self._removal is None:
            removal = asyncio.to_thread(_remove, self._client, self._identity)
            self._removal = asyncio.create_task(removal)

    async def close(self) -> None:
        self.kill()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        if self._removal is not None:
            await asyncio.shield(self._removal)

    def diagnosis(self) -> str:
        return self.reader.errors.decode(errors="replace").strip()


class _StandardOutput:
    """Standard output taken out of Docker's frames; the end of standard error is kept aside."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self.errors = b""
        self._reader = reader
        self._buffer = bytearray()

    async def readexactly(self, count: int) -> bytes:
        """As asyncio's: raises IncompleteReadError at the end."""
        while len(self._buffer) < count:
            stream, length = STREAM_HEADER.unpack(await self._reader.readexactly(STREAM_HEADER.size))
            if stream == STANDARD_ERROR:
                data = await self._reader.readexactly(length)
                self.errors = (self.errors + data)[-DIAGNOSIS_BYTES:]
            else:
                self._buffer += await self._reader.readexactly(length)
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data


def _connected(image: str) -> docker.DockerClient:
    """A client of a daemon that answers, has the image, and can hold a container to its limits.

    Raises:
        SandboxUnavailable: one of them is missing.
    """
    address = kwargs_from_env().get("base_url", DEFAULT_ADDRESS)
    if address.startswith("unix:") and not _listens(address.removeprefix("unix:").replace("//", "/")):
        raise SandboxUnavailable(f"no Docker daemon listens on {address}")  # the client would leak its socket
    try:
        # Without a version it asks the daemon for its own: none is spoken by old and new ones alike.
        client = docker.DockerClient.from_env(timeout=API_TIMEOUT_S)
    except (DockerException, OSError) as error:
        raise SandboxUnavailable(f"no Docker daemon answers: {error}") from error
    try:
        client.images.get(image)
        unlimited = [what for what in LIMITED if not client.info().get(what)]
    except ImageNotFound as error:
        client.close()
        raise SandboxUnavailable(f"there is no image {image}; see deploy/sandbox.Dockerfile") from error
    except (DockerException, OSError) as error:
        client.close()
        raise SandboxUnavailable(f"the Docker daemon does not say which images it has: {error}") from error
    if unlimited:  # it would warn, and start the container without them
        client.close()
        raise SandboxUnavailable(
            f"the Docker daemon cannot limit containers: {', '.join(unlimited)} (no cgroups)"
        )
    return client


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def _remove(client: docker.DockerClient, identity: str) -> None:
    with _already_gone():
        client.api.remove_container(identity, force=True)


@contextlib.contextmanager
def _already_gone() -> Iterator[None]:
    """auto_remove may be faster than we are; then there is no container, or its removal is under way."""
    try:
        yield
    except NotFound:
        pass
    except APIError as error:
        if error.status_code != 409:
            raise
