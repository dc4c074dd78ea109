"""``python -m tests.bench.uploads``: a large file goes in and out; what the gateway holds of it meanwhile."""

import argparse
import asyncio
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import uvloop

from deploy.local.program import Output
from deploy.local.programs import GATEWAY, STORE, Model
from deploy.local.stack import Options, Stack
from tests.bench import report
from tests.bench.processes import resident_mb

CHUNK = 1 << 18
STORAGES = ("gridfs", "disk")
LIMIT_MB = 200  # that the gateway may hold


class Watch:
    """The most that a process held, looked at every 20 ms, until the end of the block."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self.most_mb = 0.0

    def __enter__(self) -> "Watch":
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            self.most_mb = max(self.most_mb, resident_mb(self._pid))


def form(megabytes: int) -> Iterator[bytes]:
    yield b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nvision\r\n'
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="large.bin"\r\n\r\n'
    for number in range(megabytes * 2**20 // CHUNK):
        yield number.to_bytes(8, "big") * (CHUNK // 8)
    yield b"\r\n--b--\r\n"


def in_and_out(stack: Stack, megabytes: int, at_once: int) -> list[object]:
    headers = {"Authorization": f"Bearer {stack.api_key}"}
    gateway, store = stack.pid(GATEWAY), stack.pid(STORE)
    idle = resident_mb(gateway)
    with (
        httpx.Client(base_url=stack.base_url, headers=headers, timeout=600) as client,
        Watch(gateway) as held,
        Watch(store) as kept,
    ):
        began = time.monotonic()
        made: list[str] = []

        def upload() -> None:
            kind = {"content-type": "multipart/form-data; boundary=b"}
            answer = client.post("files", content=form(megabytes), headers=kind)
            assert answer.status_code == 200, answer.text
            assert answer.json()["bytes"] == megabytes * 2**20
            made.append(answer.json()["id"])

        threads = [threading.Thread(target=upload) for _ in range(at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == at_once
        in_s = time.monotonic() - began
        began, read = time.monotonic(), 0
        with client.stream("GET", f"files/{made[0]}/content") as content:
            for piece in content.iter_raw():
                read += len(piece)
        assert read == megabytes * 2**20
        out_s = time.monotonic() - began
        for file_id in made:
            assert client.delete(f"files/{file_id}").status_code == 200
    assert held.most_mb < LIMIT_MB, f"the gateway held {held.most_mb:.0f} MB"
    return [at_once * megabytes / in_s, megabytes / out_s, idle, held.most_mb, kept.most_mb]


async def bench(folder: Path, output: Output, megabytes: int, at_once: int) -> str:
    lines: list[list[object]] = []
    for storage in STORAGES:
        options = Options(
            data=folder / storage,
            services=(GATEWAY,),
            model=Model(url="http://127.0.0.1:9/v1"),
            log_level="warning",
            env={
                "THREADMILL_FILE_STORAGE": storage,
                "THREADMILL_FILE_FOLDER": str(folder / storage / "files"),
            },
        )
        async with Stack(options, output) as stack:
            for parallel in dict.fromkeys((1, at_once)):
                row = await asyncio.to_thread(in_and_out, stack, megabytes, parallel)
                lines.append([f"{storage}, {parallel} x {megabytes} MB", *row])
    columns = ["upload", "in MB/s", "out MB/s", "gateway idle MB", "gateway most MB", "store most MB"]
    return f"{report.heading()}\n{report.table(columns, lines)}"


async def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.uploads", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--no-save", action="store_true", help="print only")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        said = await bench(Path(folder), lambda name, line: None, arguments.megabytes, arguments.at_once)
    sys.stdout.write(said)
    if not arguments.no_save:
        with report.RESULTS.open("a") as results:
            results.write("\n" + said)


if __name__ == "__main__":
    uvloop.run(main())
