"""What the data folder keeps, and from whom."""

import os
import stat
from pathlib import Path

import pytest

from deploy.local.folder import DataFolder, FolderInUse, Running
from deploy.local.programs import Model, private_env, public


def test_a_key_is_drawn_once_and_is_its_owners(tmp_path: Path) -> None:
    key = DataFolder(tmp_path / "data").api_key()

    assert DataFolder(tmp_path / "data").api_key() == key
    assert key.startswith("sk-threadmill-")
    assert len(key) > 40
    assert stat.S_IMODE((tmp_path / "data" / "api-key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_the_two_keys_differ(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)

    assert folder.api_key() != folder.call_secret()


def test_a_second_user_is_told_who_the_first_is(tmp_path: Path) -> None:
    first, second = DataFolder(tmp_path), DataFolder(tmp_path)

    with (
        first.locked("http://127.0.0.1:8080/v1", "a model"),
        pytest.raises(FolderInUse, match=rf"process {os.getpid()}, http://127.0.0.1:8080/v1"),
        second.locked("http://127.0.0.1:9090/v1", "a model"),
    ):
        pass

    assert second.running() == Running(os.getpid(), "http://127.0.0.1:8080/v1", "a model")
    with second.locked("http://127.0.0.1:9090/v1", "a model"):
        assert first.running() == Running(os.getpid(), "http://127.0.0.1:9090/v1", "a model")


def test_each_service_is_told_its_own_secrets_only() -> None:
    environ = {"PATH": "/bin", "OPENAI_API_KEY": "theirs", "THREADMILL_API_KEY": "ours"}
    model = Model(url="https://model/v1", api_key="theirs", aliases={"gpt-4": "llama"})

    def told(kind: str) -> dict[str, str]:
        return private_env(
            kind,
            api_key="ours",
            key_pepper="hot",
            call_secret="signs",
            model=model,
            scratch=Path("/scratch"),
            sandbox="auto",
            index="/index",
            embedding_api_key="embeds",
            milvus_token="finds",
            rerank_api_key="sorts",
        )

    assert public(environ) == {"PATH": "/bin", "PYTHONUNBUFFERED": "1"}
    assert told("gateway").items() >= {"THREADMILL_API_KEY": "ours", "THREADMILL_KEY_PEPPER": "hot"}.items()
    assert told("run_orchestrator")["THREADMILL_MODEL_ALIASES"] == '{"gpt-4": "llama"}'
    assert told("run_orchestrator")["THREADMILL_CALL_SECRET"] == "signs"
    assert told("tool_code") == {"THREADMILL_SCRATCH": "/scratch", "THREADMILL_SANDBOX": "auto"}
    assert told("tool_retrieval") == {
        "THREADMILL_INDEX_URL": "/index",
        "THREADMILL_EMBEDDING_API_KEY": "embeds",
        "THREADMILL_MILVUS_TOKEN": "finds",
        "THREADMILL_RERANK_API_KEY": "sorts",
    }
