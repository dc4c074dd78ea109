"""The programs of one machine: how each is started, and where it answers."""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.probes import accepts, answers
from deploy.local.program import Program, Turn

LOOPBACK = "127.0.0.1"
STORE, BROKER, MODEL, GATEWAY = "store", "broker", "demo_model", "gateway"
SERVICES = (GATEWAY, "run_orchestrator", "tool_code", "tool_retrieval")

# What a program must not find in its environment unless it is meant for it.
SECRETS = (
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "THREADMILL_API_KEY",
    "THREADMILL_CALL_SECRET",
    "THREADMILL_EMBEDDING_API_KEY",
    "THREADMILL_KEY_PEPPER",
    "THREADMILL_MILVUS_TOKEN",
    "THREADMILL_MODEL_API_KEY",
    "THREADMILL_RERANK_API_KEY",
)


class StoreMissing(Exception):
    """The program of the store is not installed."""

    def __str__(self) -> str:
        return (
            "secantusd-py (the embedded store) was not found beside Python or on PATH; "
            "pip install 'threadmill[embedded]', or give the address of a MongoDB with --mongo"
        )


@dataclass(frozen=True, kw_only=True)
class Model:
    """Where answers come from."""

    url: str
    api_key: str = field(default="", repr=False)
    aliases: Mapping[str, str] = field(default_factory=dict)


# Read by the store's engine. A write is handed to the operating system before it is acknowledged, so that
# it outlives every process; the disk is not waited for (DECISIONS.md).
WRITTEN_NOT_SYNCED = {"WIREDTIGER_CONFIG": "transaction_sync=(enabled=true,method=none)"}
# Alone, it keeps no log for a replica set, which nobody would read, and which costs a fifth of an update.
WRITING = ("--sync-on-commit", "--standalone")
# What the engine says when the disk is full: from then on each request fails, until a new process is there.
PANIC = "WT_PANIC: WiredTiger library panic"
CHECKPOINT_S = 15  # how often what was written is on the disk for certain


def store(folder: Path, port: int, environ: Mapping[str, str], *, sync: bool) -> Program:
    """SecantusDB. A program of its own, never imported: its licence is not ours.

    ``sync``: wait for the disk at each write, so that a power cut loses nothing either.

    Raises:
        StoreMissing: it is not installed.
    """
    beside = Path(sys.executable).with_name("secantusd-py")
    program = str(beside) if beside.exists() else shutil.which("secantusd-py")
    if program is None:
        raise StoreMissing
    folder.mkdir(parents=True, exist_ok=True)
    where = ("--host", LOOPBACK, "--port", str(port), "--storage-path", str(folder))
    return Program(
        name=STORE,
        command=(program, *where, "--cache-size", "128M", "--log-level", "WARNING", *WRITING),
        env={
            **public(environ),
            "SECANTUS_CHECKPOINT_SECONDS": str(CHECKPOINT_S),
            **({} if sync else WRITTEN_NOT_SYNCED),
        },
        probe=accepts(LOOPBACK, port),
        turn=Turn.STORE,
        stop_within_s=15.0,
        last_word=PANIC,
    )


def store_url(port: int) -> str:
    # With retryable writes, which are the driver's default, each write costs it what all recent ones did.
    return f"mongodb://{LOOPBACK}:{port}/?retryWrites=false&directConnection=true"


def demo_model(port: int, chunk_delay_ms: float, environ: Mapping[str, str]) -> Program:
    where = ("--host", LOOPBACK, "--port", str(port), "--chunk-delay-ms", str(chunk_delay_ms))
    return Program(
        name=MODEL,
        command=(sys.executable, "-m", "deploy.local.demo_model", *where),
        env=public(environ),
        probe=answers(f"http://{LOOPBACK}:{port}/livez"),
        turn=Turn.MODEL,
    )


def service(name: str, kind: str, host: str, port: int, env: Mapping[str, str]) -> Program:
    """One of the services; ``kind`` is the package in ``services``, ``name`` tells copies apart."""
    return Program(
        name=name,
        command=(sys.executable, "-m", f"services.{kind}"),
        env={**env, "THREADMILL_HOST": host, "THREADMILL_PORT": str(port)},
        probe=answers(f"http://{reachable(host)}:{port}/readyz"),
        turn=Turn.SERVICE,
        stop_within_s=15.0 + float(env.get("THREADMILL_DRAIN_S", 0)),  # open requests get 10 s
    )


def private_env(
    kind: str,
    *,
    api_key: str,
    key_pepper: str,
    call_secret: str,
    model: Model,
    scratch: Path,
    sandbox: str,
    index: str,
    embedding_api_key: str,
    milvus_token: str,
    rerank_api_key: str,
) -> dict[str, str]:
    """Return what only the service ``kind`` is told."""
    models = {
        "THREADMILL_MODEL_URL": model.url,
        "THREADMILL_MODEL_API_KEY": model.api_key,
        "THREADMILL_MODEL_ALIASES": json.dumps(dict(model.aliases)),
    }
    if kind == GATEWAY:
        return {"THREADMILL_API_KEY": api_key, "THREADMILL_KEY_PEPPER": key_pepper, **models}
    if kind == "run_orchestrator":
        return {"THREADMILL_CALL_SECRET": call_secret, **models}
    if kind == "tool_code":
        return {"THREADMILL_SCRATCH": str(scratch), "THREADMILL_SANDBOX": sandbox}
    if kind == "tool_retrieval":
        keys = {
            "THREADMILL_EMBEDDING_API_KEY": embedding_api_key,
            "THREADMILL_MILVUS_TOKEN": milvus_token,
            "THREADMILL_RERANK_API_KEY": rerank_api_key,
        }
        return {"THREADMILL_INDEX_URL": index, **keys}
    return {}


def public(environ: Mapping[str, str]) -> dict[str, str]:
    """Return ``environ`` without keys: code of strangers runs below one of these programs."""
    shown = {name: value for name, value in environ.items() if name not in SECRETS}
    return {**shown, "PYTHONUNBUFFERED": "1"}


def reachable(host: str) -> str:
    """Return the address to call for a server that listens on ``host``."""
    if host in ("0.0.0.0", "::", ""):
        return LOOPBACK
    return f"[{host}]" if ":" in host else host
