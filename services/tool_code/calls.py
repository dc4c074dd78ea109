"""One code call, from the request to its result in the ledger."""

import asyncio
import logging
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from services.tool_code.files import Files
from services.tool_code.live_logs import LiveLogs
from services.tool_code.sandbox.errors import SandboxError
from services.tool_code.sandbox.execution import Execution
from services.tool_code.sandbox.session import Session
from services.tool_code.sessions import Sessions
from shared import metrics, tracing
from shared.events import CodeRequested, ToolResult
from shared.failpoints import failpoint
from shared.files.for_code import FOLDER
from shared.publisher import Publisher
from shared.stores.executions import Claim, ExecutionStore

log = logging.getLogger(__name__)

TOOL = "code_interpreter"
MAX_ATTEMPTS = 2
NEW_SESSION = "The sandbox is new: variables of earlier calls are gone."
LOST = (
    "The sandbox was lost while it ran this code, with the variables of earlier calls. "
    "The code was not run again; run what you still need."
)
GIVEN_UP = "The code was not run again: its worker was lost each time it ran."


@dataclass(frozen=True)
class Answer:
    """What the model is told, what the API shows, and what there is to link to."""

    output: str
    logs: str
    images: list[str] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)


class Calls:
    """``sessions`` is None, and ``why_not`` says why, where no sandbox works."""

    def __init__(
        self,
        executions: ExecutionStore,
        sessions: Sessions | None,
        files: Files,
        publisher: Publisher,
        timeout_s: float,
        why_not: str = "",
    ) -> None:
        self._executions = executions
        self._sessions = sessions
        self._files = files
        self._publisher = publisher
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
            return _result(request, _known(claim.result))
        failpoint("tool_code.call_claimed")
        try:
            with tracing.tool(TOOL, request.call_id, request.thread_id) as span:
                answer, outcome = await self._run(request, claim)
                span.set("threadmill.tool.outcome", outcome)
        except asyncio.CancelledError:
            await self._executions.release(request.call_id, claim.attempt)
            failpoint("tool_code.call_released")
            raise
        failpoint("tool_code.result_unsaved")
        if not await self._executions.finish(request.call_id, claim.attempt, asdict(answer)):
            metrics.FENCED.labels("tool call").inc()
            log.warning("another worker took the call over; its result stands")
            return None
        failpoint("tool_code.call_kept")
        metrics.TOOL_CALLS.labels(TOOL, outcome).inc()
        metrics.TOOL_SECONDS.labels(TOOL).observe(time.time() - now)
        return _result(request, answer)

    async def _run(self, request: CodeRequested, claim: Claim) -> tuple[Answer, str]:
        """Return the answer, and in a word what came of the call."""
        if self._sessions is None:
            why = f"The code could not be run: no sandbox works on this server. {self._why_not}"
            return _only(why), "no_sandbox"
        async with self._sessions.of_thread(request.thread_id) as held:
            if held.session is None and claim.attempt > MAX_ATTEMPTS:
                return _only(GIVEN_UP), "given_up"
            try:
                lost = held.session is None and claim.attempt > 1
                fresh = held.session is None
                session = held.session or await self._sessions.start(request.thread_id, held)
                notes = await self._files.bring(session, held, request)
                failpoint("tool_code.files_brought")
                back = await self._files.restore(session, held, request.project_id)
                if fresh and held.earlier > 0:
                    notes = [LOST if lost else NEW_SESSION, _restored(back), *notes]
                    if lost:
                        await self._sessions.count_call(request.thread_id, held)
                        return _only(" ".join(notes)), "lost"
                execution = await self._execute(session, request, claim.attempt)
                failpoint("tool_code.code_ran")
            except SandboxError as error:
                log.error("a sandbox failed", exc_info=error)
                return _only(f"The code could not be run: {error}"), "sandbox_failed"
            images = await self._files.keep_images(request, execution)
            files = await self._files.keep_files(session, held, request, execution)
            await self._sessions.count_call(request.thread_id, held)
            failpoint("tool_code.call_counted")
        told = _told(execution, notes, len(images))
        return Answer(told, _shown(execution), images, files), execution.status

    async def _execute(self, session: Session, request: CodeRequested, attempt: int) -> Execution:
        timeout_s = min(self._timeout_s, max(request.deadline - time.time(), 1.0))
        live = LiveLogs(self._publisher, request, attempt)
        try:
            execution = await session.run(request.code, timeout_s=timeout_s, on_output=live.add)
        finally:
            await live.close()
        log.info("ran code", extra={"status": execution.status, "took_s": round(execution.took_s, 3)})
        return execution


def _restored(paths: list[str]) -> str:
    if not paths:
        return "Files that they wrote are gone, too."
    return f"Of the files that they wrote, these are in {FOLDER} again: {', '.join(sorted(paths))}."


def _told(execution: Execution, notes: list[str], shown: int) -> str:
    parts = [*notes, execution.logs, execution.notice]
    if shown:
        parts.append(
            "[1 image was shown to the user.]" if shown == 1 else f"[{shown} images were shown to the user.]"
        )
    if lost := len(execution.images) - shown:
        parts.append(f"[{lost} images could not be stored, and were not shown.]")
    return "\n".join(part for part in parts if part)


def _shown(execution: Execution) -> str:
    return "\n".join(part for part in (execution.logs, execution.notice) if part)


def _only(told: str) -> Answer:
    return Answer(told, told)


def _known(kept: dict[str, Any]) -> Answer:
    """What the ledger has; workers of an earlier version knew no images and no files."""
    return Answer(kept["output"], kept["logs"], kept.get("images", []), kept.get("files", []))


def _result(request: CodeRequested, answer: Answer) -> ToolResult:
    logs = [{"type": "logs", "logs": answer.logs}] if answer.logs else []
    images = [{"type": "image", "image": {"file_id": file_id}} for file_id in answer.images]
    return ToolResult(
        call_id=request.call_id,
        run_id=request.run_id,
        token=request.token,
        output=answer.output,
        outputs=(*logs, *images),
        files=tuple(answer.files),
    )
