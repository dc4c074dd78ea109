"""``deploy/k8s/components/agent-sandbox``: what it adds, and that code in its pods reaches nothing."""

import os
from typing import Any

import kubernetes_validate
import pytest
import yaml

from services.tool_code.sandbox.driver import listen
from services.tool_code.sandbox.driver.start import start_command
from services.tool_code.sandbox.limits import MIB, Limits
from services.tool_code.settings import Settings
from tests.contract.deployed.manifests import (
    CLAIMS,
    K8S,
    VERSION,
    Manifest,
    check_environment,
    check_restricted,
    check_schema,
    deployments,
    kustomized,
)


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    folder = tmp_path_factory.mktemp("agent-sandbox")
    parts = {"resources": ["base"], "components": ["components/agent-sandbox"]}
    here = {kind: [os.path.relpath(K8S / path, folder) for path in paths] for kind, paths in parts.items()}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(here))
    return kustomized(str(folder))


@pytest.fixture
def template(manifests: list[Manifest]) -> dict[str, Any]:
    (template,) = (m for m in manifests if m["kind"] == "SandboxTemplate")
    spec: dict[str, Any] = template["spec"]
    return spec


def test_it_is_valid(manifests: list[Manifest], template: dict[str, Any]) -> None:
    for manifest in manifests:
        check_schema(manifest)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pod"},
        "spec": template["podTemplate"]["spec"],
    }
    policy = template["networkPolicy"] | {"podSelector": {}}
    shared = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "policy"}}
    for manifest in (pod, shared | {"spec": policy}):
        kubernetes_validate.validate(manifest, VERSION, strict=True)
    check_environment(manifests)


def test_its_pods_are_restricted_and_reach_nothing(
    manifests: list[Manifest], template: dict[str, Any]
) -> None:
    pod = template["podTemplate"]
    check_restricted("sandbox", pod["spec"])
    assert template["networkPolicyManagement"] == "Managed"
    assert template["networkPolicy"]["egress"] == []
    assert template["envVarsInjectionPolicy"] == "Disallowed"
    (rule,) = template["networkPolicy"]["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "tool-code"}}}]
    labels = pod["metadata"]["labels"]
    for manifest in manifests:
        if manifest["kind"] == "NetworkPolicy" and manifest["spec"].get("egress"):
            assert not selects(manifest["spec"]["podSelector"], labels), manifest["metadata"]["name"]


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    excluded = any(
        rule["operator"] == "NotIn" and labels.get(rule["key"]) in rule["values"]
        for rule in selector.get("matchExpressions", ())
    )
    return wanted and not excluded


def test_both_sides_agree(manifests: list[Manifest], template: dict[str, Any]) -> None:
    (container,) = template["podTemplate"]["spec"]["containers"]
    assert container["command"] == start_command("/opt/venv/bin/python", "/opt/sandbox", "listen")
    told = {variable["name"]: variable for variable in container["env"]}
    assert told.keys() == {listen.SECRET, listen.ADDRESS, listen.PORT}
    settings = Settings()
    assert told[listen.PORT]["value"] == str(settings.sandbox_port)
    assert container["ports"][0]["containerPort"] == settings.sandbox_port
    assert told[listen.ADDRESS]["valueFrom"]["fieldRef"]["fieldPath"] == "status.podIP"
    secret = told[listen.SECRET]["valueFrom"]["secretKeyRef"]
    assert secret == {"name": "sandboxes", "key": "THREADMILL_SANDBOX_SECRET"}
    (worker,) = deployments(manifests)["tool-code"]["spec"]["template"]["spec"]["containers"]
    assert {"secretRef": {"name": secret["name"]}} in worker["envFrom"]
    given = {variable["name"]: variable["value"] for variable in worker["env"]}
    assert (given["THREADMILL_SANDBOX"], given["THREADMILL_SANDBOX_POOL"]) == ("agent-sandbox", "sandboxes")
    (pool,) = (m["metadata"]["name"] for m in manifests if m["kind"] == "SandboxWarmPool")
    assert pool == settings.sandbox_pool


def test_the_pods_have_room_for_what_the_limits_allow(template: dict[str, Any]) -> None:
    limits, pod = Limits(), template["podTemplate"]["spec"]
    folders = [int(v["emptyDir"]["sizeLimit"].removesuffix("Mi")) * MIB for v in pod["volumes"]]
    assert max(folders) == limits.disk_bytes
    memory = int(pod["containers"][0]["resources"]["limits"]["memory"].removesuffix("Mi")) * MIB
    assert memory > limits.memory_bytes + sum(folders)


def test_the_code_workers_may_do_nothing_but_claim(manifests: list[Manifest]) -> None:
    (role,) = (m for m in manifests if m["kind"] == "Role")
    assert [(rule["apiGroups"], rule["resources"]) for rule in role["rules"]] == [
        ([CLAIMS], ["sandboxclaims"])
    ]
    tokens = {
        name: deployment["spec"]["template"]["spec"]["automountServiceAccountToken"]
        for name, deployment in deployments(manifests).items()
    }
    assert {name for name, mounted in tokens.items() if mounted} == {"tool-code"}
