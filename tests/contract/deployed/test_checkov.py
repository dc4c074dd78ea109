"""What checkov finds has a reason, in ``.checkov.yaml`` or in an annotation."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.contract.deployed.manifests import K8S, ROOT, Manifest, kustomized
from tests.contract.deployed.test_helm import EVERYTHING, EXISTING, rendered, with_values

COMPONENTS = {"resources": ["overlays/production"], "components": ["components/agent-sandbox"]}
PODS = {"services": {"tool-code": {"agentSandbox": {"enabled": True, "existingSecret": "pods"}}}}
CHARTS = {
    "plain": EXISTING,
    "everything": with_values(EXISTING, EVERYTHING),
    "pods": with_values(EXISTING, PODS),
}
PROGRAM = shutil.which("checkov") or ""  # by `uv tool install checkov`: it has too many requirements

pytestmark = pytest.mark.skipif(not PROGRAM, reason="checkov is not installed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """All that is applied somewhere, as it is applied, and what the images are built from."""
    more = tmp_path / "components"
    more.mkdir()
    here = {kind: [os.path.relpath(K8S / path, more) for path in paths] for kind, paths in COMPONENTS.items()}
    (more / "kustomization.yaml").write_text(yaml.safe_dump({**here, "namespace": "threadmill"}))
    folder = tmp_path / "rendered"
    folder.mkdir()
    for name in ("overlays/dev", "overlays/production", str(more)):
        _write(folder / f"{Path(name).name}.yaml", kustomized(name))
    for name, values in CHARTS.items():
        manifests = rendered(values)
        for manifest in manifests:  # Helm adds it when it installs
            manifest["metadata"].setdefault("namespace", "threadmill")
        _write(folder / f"chart-{name}.yaml", manifests)
    for name in ("Dockerfile", "sandbox.Dockerfile"):
        shutil.copy(ROOT / "deploy" / name, folder)
    return folder


@pytest.mark.timeout(600)
def test_what_it_finds_has_a_reason(folder: Path) -> None:
    command = [
        PROGRAM,
        "--config-file",
        str(ROOT / ".checkov.yaml"),
        "--directory",
        str(folder),
        "-o",
        "json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    reports = {report["check_type"]: report for report in json.loads(done.stdout)}
    assert reports.keys() == {"kubernetes", "dockerfile"}, done.stderr
    for report in reports.values():
        found = report["results"]["failed_checks"]
        assert [(each["check_id"], each["check_name"], each["resource"]) for each in found] == []
        assert report["summary"]["passed"] > 100
        assert report["summary"]["parsing_errors"] == 0


def _write(path: Path, manifests: list[Manifest]) -> None:
    path.write_text(yaml.safe_dump_all(manifests))
