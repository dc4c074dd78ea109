"""One version, wherever it is written."""

import importlib.metadata
import tomllib

import pytest
import yaml

from deploy.local import __main__ as command
from shared.version import VERSION
from tests.contract.deployed.manifests import K8S, ROOT


def test_it_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((ROOT / "deploy/helm/threadmill/Chart.yaml").read_text())
    production = yaml.safe_load((K8S / "overlays/production/kustomization.yaml").read_text())
    tags = {image["newTag"] for image in production["images"]}
    assert {project["version"], chart["version"], chart["appVersion"], *tags} == {VERSION}


def test_it_is_known_where_the_package_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def not_found(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", not_found)
    monkeypatch.setattr("sys.argv", ["threadmill", "version"])
    command.main()
    assert capsys.readouterr().out == f"threadmill {VERSION}\n"
