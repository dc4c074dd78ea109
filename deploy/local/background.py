"""A stack beside code that does not await: tests of one session, benches, notebooks."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from deploy.local.program import Output
from deploy.local.stack import Options, Stack, log_output

T = TypeVar("T")


class BackgroundStack:
    """The handles of a ``Stack`` that runs in a thread of its own."""

    def __init__(self, stack: Stack, loop: asyncio.AbstractEventLoop) -> None:
        self._stack = stack
        self._loop = loop
        self.base_url = stack.base_url
        self.api_key = stack.api_key
        self.kafka_bootstrap = stack.kafka_bootstrap
        self.mongo_url = stack.mongo_url
        self.model_url = stack.model_url

    def start(self, name: str, env: Mapping[str, str] | None = None) -> None:
        self._await(self._stack.start(name, env))

    def stop(self, name: str) -> None:
        self._await(self._stack.stop(name))

    def kill(self, name: str) -> None:
        self._await(self._stack.kill(name))

    def signal(self, name: str, number: int) -> None:
        self._stack.signal(name, number)

    def pid(self, name: str) -> int:
        return self._stack.pid(name)

    def url(self, name: str) -> str:
        return self._stack.url(name)

    def is_ready(self, name: str) -> bool:
        return self._stack.is_ready(name)

    def _await(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


@contextmanager
def running(options: Options, output: Output = log_output) -> Iterator[BackgroundStack]:
    """Start a stack, hand it out when all is ready, and stop it at the end.

    The thread lives as long as the stack: a process dies with the thread that started it.

    Raises:
        ProgramError: it could not be started.
    """
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        thread = threading.Thread(target=loop.run_forever, name="threadmill stack", daemon=True)
        thread.start()
        stack = Stack(options, output)
        handles = BackgroundStack(stack, loop)
        try:
            handles._await(stack.__aenter__())
            try:
                yield handles
            finally:
                handles._await(stack.__aexit__(None, None, None))
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
