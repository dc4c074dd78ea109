"""``threadmill keys``: against a MongoDB that is named, and against the one that runs."""

from pathlib import Path
from uuid import uuid4

import pytest

from deploy.local.arguments import read
from deploy.local.folder import DataFolder
from deploy.local.keys import PEPPER, keys
from services.gateway.auth import Keys
from services.gateway.keys import kid_of
from services.gateway.stores.keys import KeyStore
from shared.errors import Unauthorized
from shared.stores.database import connect


async def run(*arguments: str, environ: dict[str, str] | None = None) -> int:
    return await keys(read(["keys", *arguments], {}), environ or {})


async def test_a_key_is_made_shown_once_listed_and_revoked(
    tmp_path: Path, mongo_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    database = f"test_{uuid4().hex[:12]}"
    where = ("--mongo", mongo_url, "--database", database, "--data", str(tmp_path))
    environ = {PEPPER: "hot"}
    made = ("create", "--project", "shop", "--name", "the web shop", "--scope", "read", *where)
    assert await run(*made, "--requests-per-minute", "60", "--expires-in-days", "2", environ=environ) == 0
    key = capsys.readouterr().out.strip()
    kid = kid_of(key)
    assert kid

    db = connect(mongo_url, database)
    header = f"Bearer {key}"
    opened = await Keys("x", store=KeyStore(db), pepper="hot").key_of(header)
    assert (opened.project_id, opened.scopes) == ("shop", frozenset({"read"}))
    assert (opened.limits.requests_per_minute, opened.limits.concurrent_runs) == (60, 0)
    with pytest.raises(Unauthorized):
        await Keys("x", store=KeyStore(db), pepper="cold").key_of(header)

    assert await run("list", *where) == 0
    heading, line = capsys.readouterr().out.splitlines()
    assert heading.split()[:3] == ["KID", "PROJECT", "SCOPES"]
    assert line.split()[:3] == [kid, "shop", "read"]
    assert "active" in line
    assert line.endswith("the web shop")
    assert key not in line

    assert await run("revoke", kid, *where) == 0
    with pytest.raises(Unauthorized):
        await Keys("x", store=KeyStore(db), pepper="hot").key_of(header)
    assert await run("revoke", kid, *where) == 1
    assert "it was revoked before" in capsys.readouterr().err
    await db.client.drop_database(database)
    db.client.close()


async def test_the_store_that_runs_is_found_and_one_that_does_not_is_told(
    tmp_path: Path, mongo_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = DataFolder(tmp_path)
    database = f"test_{uuid4().hex[:12]}"
    where = ("--data", str(tmp_path), "--database", database)
    assert await run("list", *where) == 1
    assert f"nothing runs on {tmp_path}" in capsys.readouterr().err
    with folder.locked("http://127.0.0.1:8080/v1", "a model", mongo_url):
        assert await run("create", *where) == 0
        key = capsys.readouterr().out.strip()
        assert await run("create", "--project", "not a name", *where) == 1
    with folder.locked("http://127.0.0.1:8080/v1", "a model"):
        assert await run("list", *where) == 1
        assert "name it with --mongo" in capsys.readouterr().err
    assert await run("list", *where) == 1, "it has ended since"

    assert oct((tmp_path / "key-pepper").stat().st_mode & 0o777) == "0o600"
    db = connect(mongo_url, database)
    opened = await Keys("x", store=KeyStore(db), pepper=folder.key_pepper()).key_of(f"Bearer {key}")
    assert (opened.project_id, opened.scopes) == ("default", frozenset({"read", "write"}))
    await db.client.drop_database(database)
    db.client.close()
