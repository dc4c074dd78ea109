"""One code call, from the request to its result in the ledger."""

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, NamedTuple

from services.tool_code.files import Files, Kept
from services.tool_code.live_logs import LiveLogs
from services.tool_code.sandbox.errors import SandboxError
from services.tool_code.sandbox.execution import Execution
from services.tool_code.sandbox.session import Session
from services.tool_code.sessions import Held, Sessions
from shared import clock, metrics, tracing
from shared.events import CodeRequested, ToolResult
from shared.failpoints import failpoint
from shared.files.for_code import FOLDER
from shared.publisher import Publisher
from shared.stores.database import AWAY, PyMongoError
from shared.stores.executions import Claim, ExecutionStore
from shared.tasks import until_done

log = logging.getLogger(__name__)

TOOL = "code_interpreter"
MAX_ATTEMPTS = 2
NEW_SESSION = "The sandbox is new: variables of earlier calls are gone."
LOST = (
    "The sandbox was lost while it ran this code, with the variables of earlier calls. "
    "The code was not run again; run what you still need."
)
FAILED = "The code could not be run: its worker failed each time it tried."
GIVEN_UP = "The code was not run again: its worker was lost each time it ran."


@dataclass(frozen=True)
class Answer:
    """What the model is told, what the API shows, and what there is to link to."""

    output: str
    logs: str
    images: list[str] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)


class Unkept(NamedTuple):
    claim: Claim
    answer: Answer
    outcome: str


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
        self._unkept: dict[str, Unkept] = {}  # by call: what the ledger does not have yet

    async def execute(self, request: CodeRequested) -> ToolResult | None:
        """Return the call's result, executing it if nobody has; None if it is past its deadline.

        The calls of a thread are executed in the order in which they come here. What ran is not run
        again, whatever is raised afterwards: another try only keeps its answer.
        """
        if request.call_id in self._unkept:
            return await self._keep(request)
        if self._sessions is None:
            return await self._execute(request, None)
        async with self._sessions.of_thread(request.thread_id) as held:
            return await self._execute(request, held)

    async def _execute(self, request: CodeRequested, held: Held | None) -> ToolResult | None:
        claim = await self._claim(request)
        if claim is None:
            log.warning("a request came too late")
            return None
        if claim.result is not None:
            return _result(request, _known(claim.result))
        began = time.monotonic()
        answer, outcome = await self._attempt(request, claim, held)
        metrics.TOOL_SECONDS.labels(TOOL).observe(time.monotonic() - began)
        self._unkept[request.call_id] = Unkept(claim, answer, outcome)
        return await self._keep(request)

    async def give_up(self, request: CodeRequested) -> ToolResult | None:
        """Say once and for all that the call cannot be executed, unless it was."""
        unkept = self._unkept.get(request.call_id)
        claim = unkept.claim if unkept else await self._claim(request)
        if claim is None:
            return None
        if claim.result is not None:
            return _result(request, _known(claim.result))
        self._unkept[request.call_id] = Unkept(claim, _only(FAILED), "failed")
        return await self._keep(request)

    async def _claim(self, request: CodeRequested) -> Claim | None:
        """Wait for the call's turn; None if it does not come before the deadline."""
        while (now := clock.now()) < request.deadline:
            claim = await self._executions.claim(request.call_id, request.run_id, now)
            if claim.wait_until is None:
                return claim
            await asyncio.sleep(min(max(claim.wait_until - now, 0.05), 1.0))
        return None

    async def _attempt(self, request: CodeRequested, claim: Claim, held: Held | None) -> tuple[Answer, str]:
        try:
            failpoint("tool_code.call_claimed")
            with tracing.tool(TOOL, request.call_id, request.thread_id) as span:
                answer, outcome = await self._run(request, claim, held)
                span.set("threadmill.tool.outcome", outcome)
                return answer, outcome
        except BaseException as error:
            ran = not isinstance(error, Exception)  # interrupted: who knows how far it came
            with suppress(PyMongoError):  # then its lease lapses
                await self._executions.release(request.call_id, claim.attempt, ran=ran)
            failpoint("tool_code.call_released")
            raise

    async def _keep(self, request: CodeRequested) -> ToolResult | None:
        claim, answer, outcome = self._unkept[request.call_id]
        failpoint("tool_code.result_unsaved")
        try:
            kept = await self._executions.finish(request.call_id, claim.attempt, asdict(answer))
        except asyncio.CancelledError:
            self._unkept.pop(request.call_id, None)
            with suppress(PyMongoError):
                await self._executions.release(request.call_id, claim.attempt)
            raise
        self._unkept.pop(request.call_id, None)
        if not kept:
            metrics.FENCED.labels("tool call").inc()
            log.warning("another worker took the call over; its result stands")
            return None
        failpoint("tool_code.call_kept")
        metrics.TOOL_CALLS.labels(TOOL, outcome).inc()
        return _result(request, answer)

    async def _run(self, request: CodeRequested, claim: Claim, held: Held | None) -> tuple[Answer, str]:
        """Return the answer, and in a word what came of the call. Raises only before the code ran."""
        if self._sessions is None or held is None:
            why = f"The code could not be run: no sandbox works on this server. {self._why_not}"
            return _only(why), "no_sandbox"
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
                    await self._sessions.note_call(request.thread_id, held)
                    return _only(" ".join(notes)), "lost"
            execution = await self._run_code(session, request, claim.attempt)
        except SandboxError as error:
            log.error("a sandbox failed", exc_info=error)
            return _only(f"The code could not be run: {error}"), "sandbox_failed"
        images, kept = await self._keep_files(request, session, held, execution)
        told = _told(execution, notes, len(images), kept.notes)
        return Answer(told, _shown(execution), images, kept.files), execution.status

    async def _keep_files(
        self, request: CodeRequested, session: Session, held: Held, execution: Execution
    ) -> tuple[list[str], Kept]:
        """Store what the code made; the images are to be shown. What goes wrong costs files, not a run."""
        assert self._sessions is not None, "there is a session"
        images: list[str] = []
        kept = Kept([], [], [])
        try:
            failpoint("tool_code.code_ran")
            images = await self._files.keep_images(request, execution)
            kept = await self._files.keep_files(session, held, request, execution)
            if not execution.images:  # else a figure that was shown and saved would be there twice
                images = kept.pictures
            note = partial(self._sessions.note_call, request.thread_id, held)
            await until_done(note, AWAY, what="the store")
            failpoint("tool_code.call_counted")
        except Exception as error:
            log.error("could not keep all that a call made", exc_info=error)
        return images, kept

    async def _run_code(self, session: Session, request: CodeRequested, attempt: int) -> Execution:
        timeout_s = min(self._timeout_s, max(request.deadline - clock.now(), 1.0))
        live = LiveLogs(self._publisher, request, attempt)
        try:
            execution = await session.run(request.code, timeout_s=timeout_s, on_output=live.add)
        except SandboxError:
            raise
        except Exception as error:  # it may have run: not to be tried again
            raise SandboxError("the worker failed") from error
        finally:
            await live.close()
        log.info("ran code", extra={"status": execution.status, "took_s": round(execution.took_s, 3)})
        return execution


def _restored(paths: list[str]) -> str:
    if not paths:
        return "Files that they wrote are gone, too."
    return f"Of the files that they wrote, these are in {FOLDER} again: {', '.join(sorted(paths))}."


def _told(execution: Execution, notes: list[str], shown: int, of_files: list[str]) -> str:
    parts = [*notes, execution.logs, execution.notice]
    if shown:
        parts.append(
            "[1 image was shown to the user.]" if shown == 1 else f"[{shown} images were shown to the user.]"
        )
    if (lost := len(execution.images) - shown) > 0:
        parts.append(f"[{lost} images could not be stored, and were not shown.]")
    return "\n".join(part for part in (*parts, *of_files) if part)


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
