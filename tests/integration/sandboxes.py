"""The sandboxes under test: each kind that this machine can run, with limits small enough to hit quickly."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.tool_code.sandbox.backend import Backend
from services.tool_code.sandbox.choose import Preference, Unavailable, choose_backend
from services.tool_code.sandbox.errors import SandboxUnavailable
from services.tool_code.sandbox.limits import MIB, Limits
from services.tool_code.sandbox.session import Session

KINDS: tuple[Preference, ...] = ("docker", "bwrap", "landlock")
LIMITS = Limits(memory_bytes=512 * MIB, disk_bytes=48 * MIB, processes=48)
IMAGE = "threadmill/sandbox"
PATIENT_S = 60.0  # a loaded machine; calls that should end by themselves end long before


def pick(preference: Preference, scratch: Path) -> Backend | Unavailable:
    """Choose in a thread of its own, as the service does: the probe runs an event loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(
            choose_backend, preference, limits=LIMITS, scratch=scratch, image=IMAGE, runtime=None
        ).result()


@contextmanager
def started(preference: Preference, scratch: Path) -> Iterator[Backend]:
    """The backend, or a skip that says why it does not work here."""
    try:
        backend = pick(preference, scratch)
    except SandboxUnavailable as unavailable:
        pytest.skip(str(unavailable))
    assert not isinstance(backend, Unavailable)
    yield backend


async def logs(session: Session, code: str) -> str:
    """What a harmless piece of code prints."""
    execution = await session.run(code, timeout_s=PATIENT_S)
    assert execution.status == "ok", execution
    return execution.logs.rstrip("\n")
