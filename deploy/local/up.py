"""``threadmill up``: start everything, say how to use it, keep it running until a signal."""

import argparse
import asyncio
import logging
import signal
import sys
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from deploy.local import programs, welcome
from deploy.local.demo import first_conversation
from deploy.local.folder import DataFolder, FolderInUse
from deploy.local.keeper import ProgramError, Restarts
from deploy.local.lines import LAUNCHER, Renderer
from deploy.local.ports import is_free
from deploy.local.programs import Model, StoreMissing
from deploy.local.screen import LauncherHandler, Screen
from deploy.local.stack import Options, Stack

log = logging.getLogger(__name__)


async def up(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Run until SIGINT, SIGTERM or SIGHUP, and return the exit code."""
    began = time.monotonic()
    screen = build_screen(arguments, environ)
    logging.basicConfig(level=logging.WARNING, handlers=[LauncherHandler(screen)], force=True)
    logging.getLogger("deploy").setLevel(logging.INFO)
    try:
        folder = DataFolder(arguments.data)
        stack = Stack(build_options(arguments, environ), screen.output)
        store_url = "" if arguments.mongo else stack.mongo_url
        with folder.locked(stack.base_url, stack.model_name, store_url, stack.kafka_bootstrap):
            check_port(arguments.host, arguments.port)
            await keep_up(stack, folder, screen, began, with_demo=not arguments.no_demo)
    except (ProgramError, FolderInUse, StoreMissing, OSError) as error:
        screen.write(f"threadmill: {error}\n")
        return 1
    return 0


async def keep_up(stack: Stack, folder: DataFolder, screen: Screen, began: float, *, with_demo: bool) -> None:
    """Return when a signal has stopped the stack.

    Raises:
        ProgramError: a program could not be started, or has been given up.
    """
    stopped_by = on_signals(stack)
    try:
        async with stack:
            await welcome.show(stack, folder, ready_after_s=time.monotonic() - began)
            watching = asyncio.create_task(stack.watch())
            if with_demo and not folder.welcomed.exists():
                with screen.held():
                    await first_conversation(stack, folder)
            await watching
    except asyncio.CancelledError:
        if not stopped_by:
            raise
        log.info("stopped")


def on_signals(stack: Stack) -> list[int]:
    """Let the first signal stop the current task, the second kill everything; return those that came."""
    came: list[int] = []
    task = asyncio.current_task()
    assert task is not None

    def stop(number: int) -> None:
        came.append(number)
        if len(came) == 1:
            log.info("stopping (once more: at once)", extra={"signal": signal.Signals(number).name})
            task.cancel()
        else:
            stack.kill_all()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
            continue  # started with nohup
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    return came


def build_options(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Options:
    aliases = dict(arguments.model_alias)
    return Options(
        data=arguments.data,
        host=arguments.host,
        port=arguments.port,
        kafka=arguments.kafka,
        mongo=arguments.mongo,
        sync=arguments.sync,
        model=choose_model(arguments, aliases, environ),
        model_aliases=aliases,
        model_chunk_delay_ms=15.0,  # so that one sees it stream
        api_key=arguments.api_key,
        sandbox=arguments.sandbox,
        log_level="debug" if arguments.log_level == "debug" else "info",  # what is not shown explains a crash
        restarts=Restarts(),
        environ=environ,
    )


def choose_model(
    arguments: argparse.Namespace, aliases: Mapping[str, str], environ: Mapping[str, str]
) -> Model | None:
    """Return the model that was named, or None for the demo model."""
    url = arguments.model_url or environ.get("OPENAI_BASE_URL", "")
    if not url:
        return None
    if _is_here(url, arguments.port):
        log.warning("OPENAI_BASE_URL is this server itself; using the demo model", extra={"url": url})
        return None
    key = arguments.model_api_key or environ.get("OPENAI_API_KEY", "")
    return Model(url=url, api_key=key, aliases=aliases)


def check_port(host: str, port: int) -> None:
    """Raises: ProgramError: somebody else listens there."""
    if not is_free(port, host):
        raise ProgramError(f"port {port} on {host} is taken; choose another one with --port")


def build_screen(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Screen:
    names = (*programs.SERVICES, programs.MODEL, programs.BROKER, programs.STORE, LAUNCHER)
    return Screen(
        Renderer(
            names,
            level=arguments.log_level,
            colour=sys.stderr.isatty() and "NO_COLOR" not in environ,
            as_json=arguments.log_format == "json",
        )
    )


def _is_here(url: str, port: int) -> bool:
    parts = urlsplit(url)
    return parts.port == port and parts.hostname in ("localhost", "127.0.0.1", "::1")
