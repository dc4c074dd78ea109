"""Landlock and seccomp: a wall that needs no right and no program, for where nothing stronger works.

No namespaces: the sandbox sees the host's paths (but can open few of them), has no quota on disk but a
watch over it, and /dev/shm is closed, so multiprocessing's locks do not work. The working directory is in
the scratch folder; Python takes /mnt/data for it (driver/standard_folder.py), other programs do not.

Old kernels have less of Landlock, and seccomp stands in for it. What harmless code loses by that:
before ABI 6 (Linux 6.12) pidfd_send_signal, sigqueue, and a tkill or tgkill of other processes' threads
(kill works on all that the sandbox has started); before ABI 3 (Linux 6.2) truncate of a file by name;
before ABI 2 (Linux 5.19) renames and links from folder to folder, which shutil.move makes up for by copying.
On every kernel: socket pairs of datagrams, openat2, and signals by F_SETOWN.
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

NEEDED_ABI = 1  # Linux 5.13
SCOPING_ABI = 6  # the first that keeps signals inside by itself


class LandlockBackend:
    """One process tree per session, walled in by its own hand before it reads any code.

    Started by root, each sandbox becomes a user of its own first.
    """

    name = "landlock"

    def __init__(
        self,
        runtime: Runtime,
        limits: Limits,
        scratch: Path,
        *,
        abi: int | None = None,
        users: UserPool | None = None,
    ) -> None:
        """``abi`` uses no more of Landlock than that version has, as an older kernel would."""
        kernel = landlockpy.abi_version()
        self._abi = kernel if abi is None else min(abi, kernel)
        if self._abi < NEEDED_ABI:
            raise SandboxUnavailable(f"the kernel has Landlock ABI {kernel}, {NEEDED_ABI} is needed")
        signals = "" if self._abi >= SCOPING_ABI else " (which alone keeps signals inside)"
        self.description = (
            f"Landlock ABI {self._abi} + seccomp{signals} and resource limits; no namespaces: "
            "the weakest wall we accept"
        )
        self._runtime = runtime
        self._limits = limits
        self._scratch = scratch / "sessions"
        remove_abandoned(self._scratch)
        self._users = users or UserPool()

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
            abi=self._abi,
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
