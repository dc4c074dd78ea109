"""The strongest sandbox that works here. Never none without a word, never a weaker one than asked for."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from services.tool_code.sandbox.agent_sandbox import AgentSandboxBackend, Pods
from services.tool_code.sandbox.backend import Backend
from services.tool_code.sandbox.bwrap import BwrapBackend
from services.tool_code.sandbox.docker import DockerBackend
from services.tool_code.sandbox.errors import SandboxError, SandboxUnavailable
from services.tool_code.sandbox.landlock import LandlockBackend
from services.tool_code.sandbox.limits import Limits
from services.tool_code.sandbox.runtime import Runtime, prepare

log = logging.getLogger(__name__)

Preference = Literal["auto", "docker", "bwrap", "landlock", "agent-sandbox"]
PROBE_TIMEOUT_S = 20.0
# A sandbox that answers has proved nothing yet: the code itself looks at the walls around it.
PROBE = """
import os
_status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
_walls = [int(_status[name], 16) for name in ("Seccomp", "NoNewPrivs", "CapEff")]
print(_walls, os.getuid() != 0)
"""
WALLS = "[2, 1, 0] True"


@dataclass(frozen=True)
class Unavailable:
    """Code cannot be run on this machine; one reason for each kind of sandbox."""

    reasons: dict[str, str]

    def __str__(self) -> str:
        return "; ".join(f"{name}: {reason}" for name, reason in self.reasons.items())


def choose_backend(
    preference: Preference,
    *,
    limits: Limits,
    scratch: Path,
    image: str,
    runtime: str | None,
    pods: Pods | None = None,
) -> Backend | Unavailable:
    """Try the backends, strongest first, by running code in each until one works. Blocks for seconds.

    ``scratch`` is a folder for the service alone; ``runtime`` is Docker's (runc, runsc, kata). Pods are used
    only where they are asked for by name.

    Raises:
        SandboxUnavailable: a backend was asked for by name and does not work.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    candidates = _candidates(limits, scratch, image, runtime)
    if pods and preference == "agent-sandbox":
        candidates[preference] = lambda: AgentSandboxBackend(pods, runtime, limits)
    if preference != "auto":
        try:
            backend = _proved(candidates[preference])
        except Exception as error:
            raise SandboxUnavailable(f"the {preference} sandbox does not work: {_reason(error)}") from error
        log.info("sandbox: %s, as configured: %s", backend.name, backend.description)
        return backend
    reasons: dict[str, str] = {}
    for name, build in candidates.items():
        try:
            backend = _proved(build)
        except Exception as error:  # whatever is wrong with one kind is the reason to try the next
            reasons[name] = _reason(error)
            continue
        log.info("sandbox: %s: %s; not used: %s", name, backend.description, reasons or "none stronger")
        return backend
    unavailable = Unavailable(reasons)
    log.error("no sandbox works here, code will not be run: %s", unavailable)
    return unavailable


def _candidates(
    limits: Limits, scratch: Path, image: str, runtime: str | None
) -> dict[Preference, Callable[[], Backend]]:
    prepared: list[Runtime] = []

    def lent() -> Runtime:
        if not prepared:
            prepared.append(prepare(scratch))
        return prepared[0]

    return {
        "docker": lambda: DockerBackend(image, runtime, limits),
        "bwrap": lambda: BwrapBackend(lent(), limits),
        "landlock": lambda: LandlockBackend(lent(), limits, scratch),
    }


def _proved(build: Callable[[], Backend]) -> Backend:
    backend = build()
    asyncio.run(_prove(backend))
    return backend


async def _prove(backend: Backend) -> None:
    async with asyncio.timeout(2 * PROBE_TIMEOUT_S):
        session = await backend.start("probe")
        try:
            execution = await session.run(PROBE, timeout_s=PROBE_TIMEOUT_S)
        finally:
            await session.close()
    if execution.logs.strip() != WALLS:
        raise SandboxError(f"walls are missing: {execution.logs.strip()[-200:]}")


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
