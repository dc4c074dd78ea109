"""One code call, from the request to its result in the ledger."""

import asyncio
import logging
import time

from services.tool_code.executions import Claim, ExecutionStore
from services.tool_code.sandbox.errors import SandboxError
from services.tool_code.sandbox.execution import Execution
from services.tool_code.sandbox.session import Session
from services.tool_code.sessions import Sessions
from shared.events import CodeRequested, ToolResult

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 2
NEW_SESSION = "The sandbox is new: variables and files of earlier calls are gone."
LOST = (
    "The sandbox was lost while it ran this code, with the variables and files of earlier calls. "
    "The code was not run again; run what you still need."
)
GIVEN_UP = "The code was not run again: its worker was lost each time it ran."
WITHOUT_IMAGES = "{} images were drawn; this server cannot show images yet."


class Calls:
    """``sessions`` is None, and ``why_not`` says why, where no sandbox works."""

    def __init__(
        self, executions: ExecutionStore, sessions: Sessions | None, timeout_s: float, why_not: str = ""
    ) -> None:
        self._executions = executions
        self._sessions = sessions
        self._timeout_s = timeout_s
        self._why_not = why_not

    async def execute(self, request: CodeRequested) -> ToolResult | None:
        """Return the call's result, executing it if nobody has; None if it is past its deadline."""
        while (now := time.time()) < request.deadline:
            claim = await self._executions.claim(request.call_id, request.run_id, now)
            if claim.wait_until is None:
                break
            await asyncio.sleep(min(max(claim.wait_until - now, 0.05), 1.0))
        else:
            log.warning("a request came too late")
            return None
        if claim.result is not None:
            return _result(request, claim.result["output"], claim.result["logs"])
        try:
            output, logs = await self._run(request, claim)
        except asyncio.CancelledError:
            await self._executions.release(request.call_id, claim.attempt)
            raise
        kept = {"output": output, "logs": logs}
        if not await self._executions.finish(request.call_id, claim.attempt, kept):
            log.warning("another worker took the call over; its result stands")
            return None
        return _result(request, output, logs)

    async def _run(self, request: CodeRequested, claim: Claim) -> tuple[str, str]:
        """What the model is told, and what the API shows."""
        if self._sessions is None:
            told = f"The code could not be run: no sandbox works on this server. {self._why_not}"
            return told, told
        async with self._sessions.of_thread(request.thread_id) as held:
            if held.session is None and claim.attempt > 1:
                if claim.attempt > MAX_ATTEMPTS:
                    return GIVEN_UP, GIVEN_UP
                if await self._sessions.earlier_calls(request.thread_id):
                    await self._sessions.start(request.thread_id, held)
                    return LOST, LOST
            try:
                fresh = held.session is None
                session = held.session or await self._sessions.start(request.thread_id, held)
                execution = await self._execute(session, request)
            except SandboxError as error:
                log.error("a sandbox failed", exc_info=error)
                told = f"The code could not be run: {error}"
                return told, told
            await self._sessions.count_call(request.thread_id)
            return _told(execution, new=fresh and held.earlier > 0), _shown(execution)

    async def _execute(self, session: Session, request: CodeRequested) -> Execution:
        timeout_s = min(self._timeout_s, max(request.deadline - time.time(), 1.0))
        execution = await session.run(request.code, timeout_s=timeout_s)
        log.info("ran code", extra={"status": execution.status, "took_s": round(execution.took_s, 3)})
        return execution


def _told(execution: Execution, *, new: bool) -> str:
    images = WITHOUT_IMAGES.format(len(execution.images)) if execution.images else None
    parts = [NEW_SESSION if new else None, execution.logs, execution.notice, images]
    return "\n".join(part for part in parts if part)


def _shown(execution: Execution) -> str:
    return "\n".join(part for part in (execution.logs, execution.notice) if part)


def _result(request: CodeRequested, output: str, logs: str) -> ToolResult:
    return ToolResult(
        call_id=request.call_id,
        run_id=request.run_id,
        token=request.token,
        output=output,
        outputs=({"type": "logs", "logs": logs},) if logs else (),
    )
