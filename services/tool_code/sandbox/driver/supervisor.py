"""The process that the host talks to: forks the worker, bounds each call, outlives whatever happens."""

import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

from services.tool_code.sandbox.driver import files, forks, frames, processes, worker
from services.tool_code.sandbox.driver.call import Call
from services.tool_code.sandbox.driver.child import Child
from services.tool_code.sandbox.driver.memory import MemoryWatch
from services.tool_code.sandbox.driver.policy import Policy
from services.tool_code.sandbox.driver.shell import CodeShell, preload

REQUEST_SLACK_BYTES = 1 << 20
OUTPUT_READ_BYTES = 1 << 16
LAST_OUTPUT_READS = 64
WATCH_EVERY_S = 0.05
IDLE_S = 60.0
SEND_TIMEOUT = struct.pack("@ll", 2, 0)  # seconds, microseconds: a worker that does not read is lost
DEATH_WAIT_ROUNDS, DEATH_WAIT_S = 100, 0.002


@dataclass
class Supervisor:
    """Reads the host's requests and the worker's claims in one loop."""

    policy: Policy
    shell: CodeShell
    host_in: int
    host_out: int
    folder: files.Folder = field(init=False)
    call: Call | None = None
    upload: dict[str, Any] | None = None  # a put was announced; its bytes come next
    memory: MemoryWatch | None = None
    lost_between_calls: bool = False  # the next report has to say so

    def __post_init__(self) -> None:
        self.folder = files.Folder(self.policy.data_dir)
        self.host = frames.FrameReader(self.host_in, files.MAX_FILE_BYTES + REQUEST_SLACK_BYTES)
        self.child = self._spawn()
        self.operations: dict[object, Callable[[dict[str, Any]], None]] = {
            "hello": lambda _: self._tell({"event": "ready"}),
            "exec": self._exec,
            "interrupt": lambda _: self._interrupt(),
            "reset": self._reset,
            "ping": lambda request: self._tell({"event": "pong", "id": request["id"]}),
            "put": self._expect_upload,
            "get": self._get,
        }

    def serve(self) -> NoReturn:
        """Until the host closes the pipe; then everything here ends."""
        try:
            while True:
                self._watch()
                ready = self._wait()
                if self.child.output_fd in ready:
                    self._read_output(1)
                if self.child.gate and self.child.gate.fd in ready:
                    self.child.gate.answer()
                elif self.child.reader.fd in ready:
                    self._hear_worker()
                if self.host_in in ready:
                    self._hear_host()
        finally:  # also when the supervisor itself fails: nothing may outlive it
            processes.kill_all()
            os._exit(0)

    def _wait(self) -> list[int]:
        timeout_s = IDLE_S
        if self.call:
            timeout_s = max(0.0, min(self.call.deadline - time.monotonic(), WATCH_EVERY_S))
        wanted = [self.host_in, self.child.reader.fd, self.child.output_fd]
        if self.child.gate:
            wanted.append(self.child.gate.fd)
        ready, _, _ = select.select(wanted, [], [], timeout_s)
        return ready

    # -- the worker's life

    def _spawn(self) -> Child:
        ours, theirs = socket.socketpair()
        output_read, output_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            ours.close()
            worker.run(self.policy, self.shell, theirs, output_write)
        theirs.close()
        os.close(output_write)
        os.set_blocking(output_read, False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, SEND_TIMEOUT)
        ask = self.policy.process_cap == "notify"
        gate = forks.ForkGate(forks.take_over(ours), self.policy.processes, processes.tasks) if ask else None
        reader = frames.FrameReader(ours.fileno(), self.policy.max_image_bytes + REQUEST_SLACK_BYTES)
        child = Child(pid, ours, reader, output_read, gate)
        reader.feed()  # "up": the walls stand
        if [frames.parse(payload) for _, payload in reader.frames()] != [{"event": "up"}]:
            raise RuntimeError("the worker did not come up")
        return child

    def _replace_child(self) -> None:
        processes.kill_all()
        self.child.control.close()
        os.close(self.child.output_fd)
        if self.child.gate:
            self.child.gate.close()
        self.child = self._spawn()

    def _signal(self, number: int) -> None:
        with suppress(OSError):
            processes.send(self.child.pid, number)

    # -- the host

    def _hear_host(self) -> None:
        self.host.feed()
        for kind, payload in self.host.frames():
            if kind == frames.BYTES:
                self._put(payload)
            else:
                request = frames.parse(payload)
                self.operations[request["op"]](request)

    def _tell(self, message: dict[str, Any], blob: bytes | None = None) -> None:
        frames.write(self.host_out, frames.pack(message, blob))

    def _exec(self, request: dict[str, Any]) -> None:
        self.call = Call(request, self.policy, self._tell)
        if self.policy.process_cap != "cgroup":  # a cgroup knows better
            self.memory = MemoryWatch(self.policy.memory_bytes)
        self._signal(signal.SIGCONT)
        asked = False
        with suppress(OSError):
            self.child.control.sendall(frames.pack({"id": request["id"], "code": request["code"]}))
            asked = True
        if not asked:
            self._bury()

    def _reset(self, request: dict[str, Any]) -> None:
        preload(request.get("modules", []))
        self._replace_child()
        self._tell({"event": "reset", "id": request["id"]})

    def _expect_upload(self, request: dict[str, Any]) -> None:
        self.upload = request

    def _put(self, data: bytes) -> None:
        request, self.upload = self.upload, None
        if request is None:
            return
        try:
            self.folder.write(request["path"], data)
            self.folder.changes()  # what the host puts is no news to the host
            self._tell({"event": "put", "id": request["id"]})
        except (OSError, ValueError) as error:
            self._tell({"event": "file_error", "id": request["id"], "error": str(error)})

    def _get(self, request: dict[str, Any]) -> None:
        try:
            self._tell({"event": "file", "id": request["id"]}, self.folder.read(request["path"]))
        except (OSError, ValueError) as error:
            self._tell({"event": "file_error", "id": request["id"], "error": str(error)})

    # -- one call

    def _watch(self) -> None:
        """Hold the running call to its limits."""
        call = self.call
        if call is None:
            return
        now = time.monotonic()
        if now >= call.deadline:
            if call.interrupted:
                self._finish("timeout_killed", state_lost=True)
            else:
                self._interrupt()
        elif now >= call.next_look:
            call.next_look = now + WATCH_EVERY_S
            # A child that kept the worker's socket would hide its end from us.
            self.child.status = processes.reap(self.child.pid)
            if self.child.status is not None:
                self._bury()
            elif self.memory and self.memory.exceeded():
                self._finish("worker_died", state_lost=True, limit="memory")
            elif self.policy.watch_disk and self._disk_exceeded():
                self._finish("worker_died", state_lost=True, limit="disk")

    def _disk_exceeded(self) -> bool:
        """Over quota; or, should files hide from the count, no room for one more sandbox is left."""
        used = files.used_bytes(self.policy.data_dir, self.policy.home_dir) + processes.hidden_file_bytes()
        return (
            used > self.policy.disk_bytes or files.free_bytes(self.policy.data_dir) < self.policy.disk_bytes
        )

    def _make_room(self) -> None:
        """The next call must not fall over what this one has left."""
        self.folder.forget_changes()
        if self._disk_exceeded():
            files.clear(self.policy.data_dir, self.policy.home_dir)

    def _interrupt(self) -> None:
        if self.call and not self.call.interrupted:
            self.call.interrupt()
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGINT)

    def _hear_worker(self) -> None:
        with suppress(EOFError, OSError, ValueError):
            self.child.reader.feed()
            self._read_output(1)  # printed before the frame was sent: keep the order
            for kind, payload in self.child.reader.frames():
                if kind == frames.BYTES:
                    self._image(payload)
                elif len(payload) <= REQUEST_SLACK_BYTES:
                    self._claim(frames.parse(payload))
            return
        # Not where the error is handled: a new worker would show it as the cause of its own errors.
        self._bury()

    def _claim(self, claim: dict[str, Any]) -> None:
        """One JSON frame of the worker, which may be forged by the code it runs.

        Raises:
            ValueError: it does not fit; a worker whose code lies about calls is not worth keeping.
        """
        event, call = claim.get("event"), self.call
        if event == "image":
            self.child.image_kind = str(claim.get("kind"))[:32]
        elif event != "done" or call is None or claim.get("id") != call.id:
            raise ValueError("a claim that does not fit")
        else:
            error = claim.get("error")
            status = claim.get("status")
            if call.interrupted:  # also where the code, or a command of its shell, made light of it
                status = "timeout_interrupted"
            if status not in ("ok", "error", "exit", "timeout_interrupted"):
                status = "error"
            self._finish(str(status), error=str(error)[:200] if error else None)

    def _image(self, image: bytes) -> None:
        kind, self.child.image_kind = self.child.image_kind, None
        if self.call and kind:
            self.call.image(kind, image)

    def _bury(self) -> None:
        """The worker is gone, or no longer speaks our language."""
        for _ in range(DEATH_WAIT_ROUNDS):
            if self.child.status is not None:
                break
            time.sleep(DEATH_WAIT_S)
            self.child.status = processes.reap(self.child.pid)
        if self.call:
            self._finish("worker_died", state_lost=True, error=processes.cause(self.child.status))
        else:
            self._replace_child()
            self.lost_between_calls = True

    def _read_output(self, reads: int) -> None:
        for _ in range(reads):
            try:
                data = os.read(self.child.output_fd, OUTPUT_READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                return
            if self.call:  # what a thread prints between two calls is nobody's
                self.call.output.add(data)

    def _finish(
        self, status: str, *, state_lost: bool = False, error: str | None = None, limit: str | None = None
    ) -> None:
        call = self.call
        assert call is not None
        swept = 0 if state_lost else processes.sweep(self.child.pid)
        self._read_output(LAST_OUTPUT_READS)
        refused = self.child.gate.refused if self.child.gate else 0
        if state_lost:
            self._replace_child()
        if limit == "disk":
            self._make_room()
        self.call = None
        call.finish(
            {
                "status": status,
                "error": error,
                "state_lost": state_lost or self.lost_between_calls,
                "limit": limit or ("memory" if call.kernel_killed() else None),
                "swept": swept,
                "forks_refused": refused,
            },
            self.folder.changes(),
        )
        self.lost_between_calls = False
