"""``deploy/k8s``: rendered by kustomize, held against Kubernetes' own schemas and against our code."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.tool_code.settings import Settings
from shared.process import DRAIN_S
from tests.contract.deployed.manifests import (
    K8S,
    SERVICES,
    Manifest,
    check,
    check_scaling,
    deployments,
    kustomized,
    metric_names,
    service_of,
)


@pytest.mark.parametrize("folder", ["base", "overlays/dev", "overlays/production"])
def test_it_is_valid_restricted_and_told_only_what_it_reads(folder: str) -> None:
    manifests = kustomized(folder)
    check(manifests)
    assert deployments(manifests).keys() == SERVICES.keys()
    kinds = [manifest["kind"] for manifest in manifests if service_of_policy(manifest) in SERVICES]
    for kind in ("Deployment", "Service", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy"):
        assert kinds.count(kind) == len(SERVICES), kind


def service_of_policy(manifest: dict[str, Any]) -> str:
    return str(service_of(manifest) or manifest["metadata"]["name"])


def test_everything_is_denied_that_no_policy_allows() -> None:
    policies = {m["metadata"]["name"]: m["spec"] for m in kustomized("base") if m["kind"] == "NetworkPolicy"}
    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    allowed = [port["port"] for rule in policies["tool-code"]["egress"] for port in rule["ports"]]
    assert sorted(allowed) == [9092, 9093, 27017], "code that escapes its sandbox reaches no web"
    for policy in kustomized("overlays/production"):
        if policy["kind"] == "NetworkPolicy" and policy["metadata"]["name"] in SERVICES:
            ports = [port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]]
            assert 443 in ports, "every service reads the files, which are in S3 there"
    assert all(
        "to" in rule or rule["ports"] for policy in policies.values() for rule in policy.get("egress", [])
    )


def test_dev_needs_nothing_and_production_brings_nothing() -> None:
    dev, production = kustomized("overlays/dev"), kustomized("overlays/production")
    assert {m["metadata"]["name"] for m in dev if m["kind"] == "StatefulSet"} == {"kafka", "mongodb"}
    assert {m["metadata"]["name"].rpartition("-")[0] for m in dev if m["kind"] == "Secret"} == SERVICES.keys()
    assert [m for m in production if m["kind"] in ("StatefulSet", "Secret")] == []
    for manifests in (dev, production):
        (namespace,) = (m for m in manifests if m["kind"] == "Namespace")
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
        spaces = {m["metadata"].get("namespace") for m in manifests if m["kind"] != "Namespace"}
        assert spaces == {namespace["metadata"]["name"]}


def test_production_scales_by_what_the_code_consumes() -> None:
    check_scaling(kustomized("overlays/production"), "kafka.example:9093")


def test_a_code_worker_that_is_scaled_in_may_finish_its_call() -> None:
    pod = deployments(kustomized("base"))["tool-code"]["spec"]["template"]["spec"]
    longest_s = Settings.model_fields["call_timeout_s"].default
    assert longest_s < drain_s(pod) < pod["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("service", ["gateway", "run-orchestrator"])
def test_what_is_open_may_end_before_a_process_is_killed(service: str) -> None:
    pod = deployments(kustomized("base"))[service]["spec"]["template"]["spec"]
    pause_s = pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert 0 < drain_s(pod) + pause_s + DRAIN_S < pod["terminationGracePeriodSeconds"]


def drain_s(pod: Manifest) -> float:
    (value,) = (
        float(variable["value"])
        for variable in pod["containers"][0]["env"]
        if variable["name"] == "THREADMILL_DRAIN_S"
    )
    return value


def test_gvisor_changes_the_runtime_of_the_code_workers_alone(tmp_path: Path) -> None:
    parts = {"resources": ["base"], "components": ["components/gvisor"]}
    here = {kind: [os.path.relpath(K8S / path, tmp_path) for path in paths] for kind, paths in parts.items()}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(here))
    manifests = kustomized(str(tmp_path))
    check(manifests)
    runtimes = {
        name: deployment["spec"]["template"]["spec"].get("runtimeClassName")
        for name, deployment in deployments(manifests).items()
    }
    assert {name for name, runtime in runtimes.items() if runtime} == {"tool-code"}


def test_alerts_ask_for_metrics_that_there_are() -> None:
    names = metric_names()
    (rules,) = (m for m in kustomized("overlays/production") if m["kind"] == "PrometheusRule")
    alerts = rules["spec"]["groups"][0]["rules"]
    asked = {name for alert in alerts for name in re.findall("threadmill_[a-z_]+", alert["expr"])}
    assert asked
    assert asked <= names
    lowest = {name for alert in alerts for name in re.findall(r"min\((threadmill_\w+)", alert["expr"])}
    assert lowest == {"threadmill_broker_up"}, (
        "every process shows every gauge: 0 where it has nothing to say"
    )
    chart = yaml.safe_load((K8S.parent / "helm/threadmill/files/alerts.yaml").read_text())
    assert chart == rules["spec"], "the chart has the same"
