"""Landlock and seccomp: a wall that needs no right and no program, for where nothing stronger works.

No namespaces: the sandbox sees the host's paths (but can open few of them), has no quota on disk but a
watch over it, and /dev/shm is closed, so multiprocessing's locks do not work.
"""

import asyncio
from pathlib import Path

import landlockpy

from services.tool_code.sandbox.channel import ProcessChannel
from services.tool_code.sandbox.driver.kernel import first_closed
from services.tool_code.sandbox.errors import SandboxStartFailed, SandboxUnavailable
from services.tool_code.sandbox.limits import Limits
from services.tool_code.sandbox.runtime import SYSTEM, SYSTEM_FILES, Runtime, UserPool, policy_for
from services.tool_code.sandbox.session import Session
from services.tool_code.sandbox.session_folder import SessionFolder, remove_abandoned

NEEDED_ABI = 6  # the first that keeps signals inside


class LandlockBackend:
    """One process tree per session, walled in by its own hand before it reads any code.

    Started by root, each sandbox becomes a user of its own first.
    """

    name = "landlock"
    description = "Landlock, seccomp and resource limits; no namespaces: the weakest wall we accept"

    def __init__(self, runtime: Runtime, limits: Limits, scratch: Path) -> None:
        abi = landlockpy.abi_version()
        if abi < NEEDED_ABI:
            raise SandboxUnavailable(f"the kernel has Landlock ABI {abi}, {NEEDED_ABI} is needed")
        self._runtime = runtime
        self._limits = limits
        self._scratch = scratch / "sessions"
        remove_abandoned(self._scratch)
        self._users = UserPool()

    async def start(self, session_id: str) -> Session:
        uid = self._users.take()
        folder = await asyncio.to_thread(SessionFolder, self._scratch, uid)
        readable = (*self._runtime.interpreter, self._runtime.driver_root, self._runtime.font_cache)
        private = [path for path in (*readable, str(folder.path)) if first_closed(path)]
        policy = policy_for(
            self._limits,
            data_dir=str(folder.path / "data"),
            home_dir=str(folder.path / "home"),
            process_cap="notify",
            uid=uid,
            font_cache=self._runtime.font_cache,
            watch_disk=True,
            readable=(*SYSTEM, *SYSTEM_FILES, *readable),
            reach=tuple(private) if uid is not None else (),
        )
        try:
            channel = await _FolderChannel.open(self._runtime.command(policy))
        except OSError as error:
            folder.remove()
            raise SandboxStartFailed(str(error)) from error
        channel.folder = folder
        return await Session.open(session_id, channel, self._limits)

    async def close(self) -> None:
        """Nothing is held between sessions."""


class _FolderChannel(ProcessChannel):
    """Takes the session's folder away with the sandbox."""

    folder: SessionFolder

    async def close(self) -> None:
        await super().close()
        await asyncio.to_thread(self.folder.remove)
