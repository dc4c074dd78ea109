"""``threadmill keys``: make, show and revoke the API keys in the store."""

import argparse
import re
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from deploy.local.folder import DataFolder
from deploy.local.table import table
from services.gateway.keys import fingerprint, new_key
from services.gateway.stores.keys import KeyStore
from shared.stores.database import Database, Document, PyMongoError, connect

PEPPER = "THREADMILL_KEY_PEPPER"
PROJECT = re.compile(r"[A-Za-z0-9_-]{1,64}")
DAY_S = 86_400
LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrent_runs")
COLUMNS = ("KID", "PROJECT", "SCOPES", "CREATED", "LAST USED", "STATE", "NAME")


class KeysError(Exception):
    """It cannot be done; the message says why."""


async def keys(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Run one of the commands, and return the exit code."""
    folder = DataFolder(arguments.data)
    try:
        db = open_store(arguments, folder)
        try:
            await COMMANDS[arguments.action](KeyStore(db), arguments, pepper_of(folder, environ))
        finally:
            db.client.close()
    except (KeysError, PyMongoError) as error:
        sys.stderr.write(f"threadmill: {error}\n")
        return 1
    return 0


def open_store(arguments: argparse.Namespace, folder: DataFolder) -> Database:
    """
    Raises:
        KeysError: nobody says where the store is.
    """
    if arguments.mongo:
        return connect(arguments.mongo, arguments.database)
    running = folder.running() if folder.in_use() else None
    if running is None:
        raise KeysError(
            f"nothing runs on {folder.path}; start it (threadmill up), or name a MongoDB with --mongo"
        )
    if not running.store_url:
        raise KeysError("the server that runs there uses a MongoDB of yours; name it with --mongo")
    return connect(running.store_url, arguments.database)


def pepper_of(folder: DataFolder, environ: Mapping[str, str]) -> str:
    return environ.get(PEPPER) or folder.key_pepper()


async def create(store: KeyStore, arguments: argparse.Namespace, pepper: str) -> None:
    if not PROJECT.fullmatch(arguments.project):
        raise KeysError(f"{arguments.project!r} is no name for a project: letters, digits, - and _, up to 64")
    kid, key = new_key()
    now = int(time.time())
    days = arguments.expires_in_days
    fields = {
        "fingerprint": fingerprint(key, pepper),
        "project_id": arguments.project,
        "name": arguments.name,
        "scopes": sorted(set(arguments.scope or ("read", "write"))),
        "limits": {name: getattr(arguments, name) for name in LIMITS},
        "created_at": now,
        "expires_at": now + days * DAY_S if days else None,
    }
    await store.add(kid, fields)
    sys.stderr.write(f"Key {kid} of project {arguments.project}. It is shown this once:\n")
    sys.stdout.write(f"{key}\n")


async def show(store: KeyStore, arguments: argparse.Namespace, pepper: str) -> None:
    rows = [COLUMNS, *(row_of(key, int(time.time())) for key in await store.all())]
    for line in table(rows):
        sys.stdout.write(line + "\n")


async def revoke(store: KeyStore, arguments: argparse.Namespace, pepper: str) -> None:
    if not await store.revoke(arguments.kid, int(time.time())):
        raise KeysError(f"there is no key {arguments.kid!r}, or it was revoked before")
    sys.stdout.write(f"{arguments.kid} opens nothing any more, 5 s from now at the latest\n")


COMMANDS = {"create": create, "list": show, "revoke": revoke}


def row_of(key: Document, now: int) -> tuple[str, ...]:
    expired = key["expires_at"] is not None and key["expires_at"] <= now
    state = "revoked" if key["revoked_at"] else "expired" if expired else "active"
    dates = (day(key["created_at"]), day(key["last_used_at"]))
    return (key["_id"], key["project_id"], ",".join(key["scopes"]), *dates, state, key["name"])


def day(at: int | None) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d") if at else "-"
