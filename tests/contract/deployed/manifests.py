"""Kubernetes manifests as they come out of kustomize and Helm, and what must hold for all of them."""

import importlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import jsonschema
import kubernetes_validate
import pytest
import yaml
from prometheus_client import REGISTRY

from services.tool_code import app as tool_code
from services.tool_retrieval import app as tool_retrieval
from shared import metrics, topics
from shared.settings import PREFIX

ROOT = Path(__file__).parents[3]
K8S = ROOT / "deploy/k8s"
VERSION = "1.32"
Manifest: TypeAlias = dict[str, Any]
KEDA = json.loads((Path(__file__).parent / "keda.schema.json").read_text())
AGENT_SANDBOX = json.loads((Path(__file__).parent / "agent_sandbox.schema.json").read_text())
CLAIMS = "extensions.agents.x-k8s.io"  # agent-sandbox's
OPERATOR = "monitoring.coreos.com/v1"  # its CRDs have no schema here
SERVICES = {"gateway": 8080, "run-orchestrator": 8081, "tool-code": 8082, "tool-retrieval": 8083}
GROUPS = {
    "tool-code": dict.fromkeys((topics.TOOL_REQUESTS_CODE,), tool_code.GROUP),
    "tool-retrieval": dict.fromkeys(
        (topics.TOOL_REQUESTS_RETRIEVAL, topics.FILE_COMMANDS), tool_retrieval.GROUP
    ),
}


def kustomized(folder: str) -> list[Manifest]:
    """Render ``deploy/k8s/<folder>``; skips where there is no kustomize."""
    path = str(K8S / folder)
    if shutil.which("kustomize"):
        command = ["kustomize", "build", path]
    elif shutil.which("kubectl"):
        command = ["kubectl", "kustomize", path]
    else:
        pytest.skip("neither kustomize nor kubectl is installed")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


def check(manifests: list[Manifest]) -> None:
    """Assert what must hold for every rendering."""
    names = [(m["kind"], m["metadata"]["name"]) for m in manifests]
    assert len(names) == len(set(names)), "two of one name"
    for manifest in manifests:
        check_schema(manifest)
    for workload, pod in pods(manifests):
        check_restricted(workload, pod)
    check_environment(manifests)


def check_schema(manifest: Manifest) -> None:
    if manifest["apiVersion"].startswith("keda.sh/"):
        jsonschema.validate(manifest, KEDA)
    elif manifest["apiVersion"].startswith(f"{CLAIMS}/"):
        jsonschema.validate(manifest, AGENT_SANDBOX)
    elif manifest["apiVersion"] != OPERATOR:
        kubernetes_validate.validate(manifest, VERSION, strict=True)


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    for manifest in manifests:
        if manifest["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]


def check_restricted(workload: str, pod: Manifest) -> None:
    """Pod Security "restricted", and more: limits, no token, nothing of the node."""
    assert pod["automountServiceAccountToken"] is False, workload
    assert pod["securityContext"]["runAsNonRoot"] is True, workload
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, workload
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), workload
    assert all("hostPath" not in volume for volume in pod.get("volumes", [])), workload
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False, workload
        assert security["capabilities"] == {"drop": ["ALL"]}, workload
        assert "memory" in container["resources"]["limits"], workload
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}, workload
        if "threadmill" in container["image"]:
            assert security["readOnlyRootFilesystem"] is True, workload


def check_environment(manifests: list[Manifest]) -> None:
    """Every variable is a setting of the service that gets it: a misspelt one would be ignored."""
    data = {
        (m["kind"], m["metadata"]["name"]): {**m.get("data", {}), **m.get("stringData", {})}
        for m in manifests
        if m["kind"] in ("ConfigMap", "Secret")
    }
    known = {service: settings_of(service) for service in SERVICES}
    everyone = set().union(*known.values())
    for manifest in manifests:
        service = service_of(manifest)
        if service is None:
            continue
        (container,) = manifest["spec"]["template"]["spec"]["containers"]
        own = {variable["name"] for variable in container["env"]}
        assert own <= known[service], f"{service}: {own - known[service]}"
        for source in container["envFrom"]:
            kind = "ConfigMap" if "configMapRef" in source else "Secret"
            (reference,) = source.values()
            if given := data.get((kind, reference["name"])):
                allowed = everyone if kind == "ConfigMap" else known[service]
                assert given.keys() <= allowed, f"{service}: {given.keys() - allowed}"
                assert kind == "Secret" or not [name for name in given if is_secret(name)], "in a ConfigMap"
            else:
                assert kind == "Secret", "a ConfigMap that is not there"
        port = next(v["value"] for v in container["env"] if v["name"] == "THREADMILL_PORT")
        assert int(port) == SERVICES[service] == container["ports"][0]["containerPort"]


def is_secret(variable: str) -> bool:
    return variable.endswith(("_KEY", "_SECRET", "_PASSWORD", "_PEPPER", "MONGO_URL"))


def settings_of(service: str) -> set[str]:
    """The variables that ``service`` reads."""
    module = importlib.import_module(f"services.{service.replace('-', '_')}.settings")
    return {PREFIX + name.upper() for name in module.Settings.model_fields}


def service_of(manifest: Manifest) -> str | None:
    if manifest["kind"] != "Deployment":
        return None
    name = manifest["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"]
    return name if name in SERVICES else None


def deployments(manifests: list[Manifest]) -> dict[str, Manifest]:
    return {name: m for m in manifests if (name := service_of(m))}


def check_scaling(manifests: list[Manifest], bootstrap: str) -> None:
    """What scales agrees with the code: groups, topics, partitions, the query that finds work."""
    scaled = {
        m["spec"]["scaleTargetRef"]["name"]: m["spec"] for m in manifests if m["kind"] == "ScaledObject"
    }
    by_service = {
        service: spec for service in SERVICES for target, spec in scaled.items() if target.endswith(service)
    }
    assert by_service.keys() == {"run-orchestrator", "tool-code", "tool-retrieval"}
    for service, expected in GROUPS.items():
        triggers = [trigger["metadata"] for trigger in by_service[service]["triggers"]]
        found = {trigger["topic"]: trigger["consumerGroup"] for trigger in triggers}
        assert found == {f"threadmill.{topic.name}": group for topic, group in expected.items()}
        assert {trigger["bootstrapServers"] for trigger in triggers} == {bootstrap}
        assert by_service[service]["maxReplicaCount"] <= max(topic.partitions for topic in expected)
    (trigger,) = by_service["run-orchestrator"]["triggers"]
    assert json.loads(trigger["metadata"]["query"]) == {
        "watched": "active",
        "phase": {"$in": ["runnable", "llm"]},
    }
    targets = {m["metadata"]["name"] for m in manifests if m["kind"] == "Deployment"}
    assert scaled.keys() <= targets
    for name, deployment in deployments(manifests).items():
        assert "replicas" not in deployment["spec"], f"{name} would be set back at each rollout"


def metric_names() -> set[str]:
    """Every series that our services show, by the name that queries use."""
    assert metrics.RUNS, "imported, and so registered"
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
    found = [family for family in REGISTRY.collect() if family.name.startswith("threadmill_")]
    return {family.name + ending for family in found for ending in endings[family.type]}
