"""agent-sandbox: a pod per session, out of a warm pool that Kubernetes keeps (SandboxWarmPool, SandboxClaim).

The pod runs the sandbox image with the driver's listener. Who may connect to it is a matter of the pool's
secret, from which the token of each pod follows, and of its network policy. tool_code needs rights on claims.
"""

import asyncio
import contextlib
import logging
import secrets
import socket
import struct
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from services.tool_code.sandbox.channel import STREAM_LIMIT_BYTES
from services.tool_code.sandbox.driver.frames import JSON
from services.tool_code.sandbox.driver.listen import KEEP_ALIVE, token_for
from services.tool_code.sandbox.errors import SandboxStartFailed, SandboxUnavailable
from services.tool_code.sandbox.limits import Limits
from services.tool_code.sandbox.runtime import policy_for
from services.tool_code.sandbox.session import Session

log = logging.getLogger(__name__)

DATA, HOME, FONT_CACHE = "/mnt/data", "/tmp", "/opt/sandbox/fonts"
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
OWNER = "threadmill.dev/owner"  # for people who look
CLAIM_TIMEOUT_S = 120
FIRST_LIFE = timedelta(seconds=2 * CLAIM_TIMEOUT_S)  # of a claim, should its maker die before it connects
LONGEST_LIFE = timedelta(hours=12)  # once it is connected
HEADER = struct.Struct(">IB")


@dataclass(frozen=True)
class Pods:
    """Where the pods of the sandboxes come from, and what opens them."""

    pool: str = "sandboxes"
    namespace: str | None = None  # None: the service's own
    secret: str = ""
    port: int = 8765


class AgentSandboxBackend:
    """A pod ends with its connection, and its claim with the pod: nothing is left of a killed service."""

    name = "agent-sandbox"

    def __init__(self, pods: Pods, runtime: str | None, limits: Limits) -> None:
        """``runtime`` is the pods' RuntimeClass, if it brings a kernel of its own.

        Raises:
            SandboxUnavailable: no secret, no package, or no API server that lists claims.
        """
        if not pods.secret:
            raise SandboxUnavailable("THREADMILL_SANDBOX_SECRET is not set")
        kind = runtime or "default runtime"
        self.description = f"pods of the pool {pods.pool} ({kind}), seccomp, their network policy"
        self._pods = pods
        self._namespace = pods.namespace or _own_namespace()
        self._runtime = runtime
        self._limits = limits
        self._owner = socket.gethostname()[:63]
        self._claims = _connected()
        try:
            self._claims.list_sandbox_claims(self._namespace, f"{OWNER}={self._owner}")
        except Exception as error:
            raise SandboxUnavailable(f"claims cannot be listed in {self._namespace}: {error}") from error

    async def start(self, session_id: str) -> Session:
        name = f"threadmill-{secrets.token_hex(8)}"
        writer = None
        given_up = threading.Event()
        try:
            address = await asyncio.to_thread(self._claim, name, given_up)
            async with asyncio.timeout(self._limits.start_timeout_s):
                reader, writer = await self._connect(address)
                await asyncio.to_thread(self._prolong, name)
        except asyncio.CancelledError:
            given_up.set()
            if writer:
                writer.close()
            await asyncio.to_thread(self._delete, name)  # which also ends the wait for its pod
            raise
        except Exception as error:  # of the API server, of its client, of the network
            if writer:
                writer.close()
            await asyncio.to_thread(self._delete, name)
            raise SandboxStartFailed(str(error) or type(error).__name__) from error
        return await Session.open(session_id, _PodChannel(self, name, reader, writer), self._limits)

    async def close(self) -> None:
        """Nothing is held between sessions."""

    def delete(self, name: str) -> asyncio.Task[None]:
        """Give a claim back; its pod goes with it."""
        return asyncio.create_task(asyncio.to_thread(self._delete, name))

    def _claim(self, name: str, given_up: threading.Event) -> str:
        """Make a claim, wait until it has a pod; return that pod's address."""
        from k8s_agent_sandbox.utils import select_pod_ip

        created = self._claims.create_sandbox_claim(
            name,
            self._pods.pool,
            self._namespace,
            labels={OWNER: self._owner},
            lifecycle=_lifecycle(FIRST_LIFE),
        )
        if given_up.is_set():  # perhaps before there was anything to delete
            self._delete(name)
        version = created["metadata"].get("resourceVersion")
        self._claims.wait_for_claim_ready(name, self._namespace, CLAIM_TIMEOUT_S, resource_version=version)
        claim = self._claims.get_sandbox_claim(name, self._namespace) or {}
        address = select_pod_ip(claim.get("status", {}).get("sandbox", {}).get("podIPs"))
        if address is None:
            raise SandboxStartFailed(f"the claim {name} is ready and has no address")
        return str(address)

    async def _connect(self, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(address, self._pods.port, limit=STREAM_LIMIT_BYTES)
        for level, option, value in KEEP_ALIVE:
            writer.get_extra_info("socket").setsockopt(level, option, value)
        policy = policy_for(
            self._limits,
            data_dir=DATA,
            home_dir=HOME,
            # A kernel of its own is bounded by the pod's memory; else each fork is asked for.
            process_cap="cgroup" if self._runtime else "notify",
            uid=None,
            font_cache=FONT_CACHE,
        )
        body = policy.to_json().encode()
        writer.write(token_for(self._pods.secret, address) + HEADER.pack(len(body), JSON) + body)
        return reader, writer

    def _prolong(self, name: str) -> None:
        body = {"spec": {"lifecycle": _lifecycle(LONGEST_LIFE)}}
        self._claims.patch_sandbox_claim(name, self._namespace, body)

    def _delete(self, name: str) -> None:
        try:
            self._claims.delete_sandbox_claim(name, self._namespace)
        except Exception as error:
            log.warning("a claim was not deleted; it ends with its pod", extra={"reason": str(error)})


class _PodChannel:
    """The connection to one pod, and the claim that it belongs to."""

    def __init__(
        self,
        backend: AgentSandboxBackend,
        claim: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.reader = reader
        self._backend = backend
        self._claim = claim
        self._writer = writer
        self._removal: asyncio.Task[None] | None = None

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def kill(self) -> None:
        self._writer.close()
        if self._removal is None:
            self._removal = self._backend.delete(self._claim)

    async def close(self) -> None:
        self.kill()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        if self._removal is not None:
            await asyncio.shield(self._removal)

    def diagnosis(self) -> str:
        return ""  # what a pod says on standard error is in its log


def _connected() -> Any:
    """The project's own client. Raises SandboxUnavailable."""
    try:
        from k8s_agent_sandbox.k8s_helper import K8sHelper
    except ImportError as error:
        raise SandboxUnavailable("pip install 'threadmill[agent-sandbox]'") from error
    try:
        return K8sHelper()
    except Exception as error:
        raise SandboxUnavailable(f"no way to the Kubernetes API: {error}") from error


def _lifecycle(life: timedelta) -> dict[str, object]:
    return {
        "shutdownTime": (datetime.now(UTC) + life).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "shutdownPolicy": "Delete",
        "ttlSecondsAfterFinished": 0,  # the pod ends with our connection
    }


def _own_namespace() -> str:
    try:
        return NAMESPACE_FILE.read_text().strip()
    except OSError:
        return "default"
