"""The Helm chart: linted, rendered with its switches, and held against the rules of the manifests."""

from copy import deepcopy
from typing import Any

import pytest
import yaml

from tests.contract.deployed.manifests import (
    K8S,
    ROOT,
    SERVICES,
    Manifest,
    check,
    check_environment,
    check_restricted,
    check_scaling,
    check_schema,
    deployments,
)

helm = pytest.importorskip("helm_python", reason="helm-python-sdk is not installed")

CHART = ROOT / "deploy/helm/threadmill"
POOL = "threadmill-sandboxes"
DIGEST = "sha256:" + "ab" * 32
EXISTING = {"services": {name: {"existingSecret": f"secret-of-{name}"} for name in SERVICES}}
EVERYTHING = {
    "kafka": {"bootstrap": "kafka.example:9093", "securityProtocol": "SASL_SSL", "caSecret": "kafka-ca"},
    "files": {"storage": "s3", "s3Bucket": "files"},
    "traces": {"url": "http://collector:4318/v1/traces", "sample": 0.1},
    "settings": {"THREADMILL_RUN_EXPIRY_S": "900"},
    "topicsJob": {"existingSecret": "topics-admin"},
    "podMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "keda": {"enabled": True, "kafkaAuthentication": "kafka"},
    "ingress": {"enabled": True, "host": "api.example", "tlsSecret": "api-tls"},
    "image": {"pullSecrets": [{"name": "registry"}]},
    "services": {
        "gateway": {"autoscaling": {"enabled": True}, "digest": DIGEST},
        "tool-code": {"runtimeClassName": "gvisor", "callTimeoutSeconds": 120},
        "tool-retrieval": {"indexUrl": "s3://index/passages", "indexClaim": "index"},
    },
}


def with_values(*values: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for each in values:
        _merge(made, deepcopy(each))
    return made


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    for name, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = value


def rendered(values: dict[str, Any]) -> list[Manifest]:
    with helm.Chart.load(CHART) as chart:
        files = chart.render(values, name="threadmill", namespace="threadmill")
    texts = [text for path, text in files.items() if path.endswith(".yaml")]
    return [manifest for text in texts for manifest in yaml.safe_load_all(text) if manifest]


@pytest.mark.parametrize("values", [EXISTING, with_values(EXISTING, EVERYTHING)], ids=["plain", "everything"])
def test_it_is_clean_valid_and_restricted(values: dict[str, Any]) -> None:
    report = helm.lint(CHART, values, strict=True)
    assert [message for message in report["messages"] if message["severity"] > 1] == []
    manifests = rendered(values)
    check(manifests)
    assert deployments(manifests).keys() == SERVICES.keys()


def test_with_everything_on_it_scales_as_the_manifests_do() -> None:
    manifests = rendered(with_values(EXISTING, EVERYTHING))
    check_scaling(manifests, "kafka.example:9093")
    by_kind = {manifest["kind"] for manifest in manifests}
    assert by_kind >= {"Ingress", "HorizontalPodAutoscaler", "PodMonitor", "PrometheusRule", "ScaledObject"}
    pods = {name: m["spec"]["template"]["spec"] for name, m in deployments(manifests).items()}
    assert pods["gateway"]["containers"][0]["image"] == f"registry.example/threadmill/gateway@{DIGEST}"
    assert pods["tool-code"]["runtimeClassName"] == "gvisor"
    assert pods["tool-code"]["terminationGracePeriodSeconds"] == 150
    claims = [v.get("persistentVolumeClaim") for v in pods["tool-retrieval"]["volumes"]]
    assert {"claimName": "index"} in claims


def reached(values: dict[str, Any]) -> dict[str, list[int]]:
    """By service, the ports that its network policy lets it connect to, beside names."""
    policies = [m for m in rendered(with_values(EXISTING, values)) if m["kind"] == "NetworkPolicy"]
    return {
        policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/name"]: [
            port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"] if port["port"] != 53
        ]
        for policy in policies
    }


def test_network_policies_let_through_what_the_settings_name() -> None:
    assert reached({})["tool-code"] == [9092, 9093, 27017], "code that escapes its sandbox reaches no web"
    everything = reached(EVERYTHING)
    assert everything["tool-code"] == [9092, 9093, 27017, 4318, 80, 443, 8000]
    assert {frozenset(ports) for ports in everything.values()} == {frozenset(everything["tool-code"])}
    own = {
        "kafka": {"bootstrap": "b1.example:9096,b2.example:9096"},
        "traces": {"url": "https://t.example/v1"},
    }
    assert reached(own)["tool-code"] == [9092, 9093, 27017, 9096, 443]


def test_secrets_are_those_that_exist_or_those_given() -> None:
    assert [m for m in rendered(EXISTING) if m["kind"] == "Secret"] == []
    given = {name: {"secret": {"THREADMILL_MONGO_URL": "mongodb://m"}} for name in SERVICES}
    made = {m["metadata"]["name"] for m in rendered({"services": given}) if m["kind"] == "Secret"}
    assert made == {f"threadmill-{name}" for name in SERVICES}
    with pytest.raises(helm.HelmError, match="existingSecret"):
        rendered({})


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_be_left_out(name: str) -> None:
    manifests = rendered(with_values(EXISTING, {"services": {name: {"enabled": False}}}))
    check(manifests)
    assert deployments(manifests).keys() == SERVICES.keys() - {name}


def test_a_pod_for_each_thread_is_that_of_the_manifests() -> None:
    """``components/agent-sandbox`` is held against the code; the chart is held against it."""
    on = {"enabled": True, "existingSecret": "pods", "warm": 5, "runtimeClassName": "gvisor"}
    values = with_values(EXISTING, {"services": {"tool-code": {"agentSandbox": on}}})
    report = helm.lint(CHART, values, strict=True)
    assert [message for message in report["messages"] if message["severity"] > 1] == []
    manifests = rendered(values)
    for manifest in manifests:
        check_schema(manifest)
    check_environment(manifests)
    made = {manifest["kind"]: manifest for manifest in manifests if manifest["metadata"]["name"] == POOL}
    component = K8S / "components/agent-sandbox"
    theirs = {
        manifest["kind"]: manifest
        for file in ("sandboxes.yaml", "access.yaml")
        for manifest in yaml.safe_load_all((component / file).read_text())
    }
    assert made.keys() == theirs.keys()
    ours, known = (each["SandboxTemplate"]["spec"]["podTemplate"]["spec"] for each in (made, theirs))
    check_restricted("sandbox", ours)
    assert ours.pop("runtimeClassName") == "gvisor"
    (container,), (known_container,) = ours["containers"], known["containers"]
    assert container.pop("image") == "registry.example/threadmill/sandbox:0.1.0"
    assert container.pop("imagePullPolicy") == "IfNotPresent"
    assert container["env"][0]["valueFrom"]["secretKeyRef"].pop("name") == "pods"
    del known_container["image"], known_container["env"][0]["valueFrom"]["secretKeyRef"]["name"]
    assert ours == known
    assert made["SandboxWarmPool"]["spec"] == {"replicas": 5, "sandboxTemplateRef": {"name": POOL}}
    assert made["Role"]["rules"] == theirs["Role"]["rules"]
    assert made["RoleBinding"]["subjects"][0]["name"] == "threadmill-tool-code"
    assert unlabelled(made["SandboxTemplate"]["spec"]["networkPolicy"]) == unlabelled(
        theirs["SandboxTemplate"]["spec"]["networkPolicy"]
    )
    assert unlabelled(made["NetworkPolicy"]["spec"]) == unlabelled(theirs["NetworkPolicy"]["spec"])

    pods = {name: m["spec"]["template"]["spec"] for name, m in deployments(manifests).items()}
    assert [name for name, pod in pods.items() if pod["automountServiceAccountToken"]] == ["tool-code"]
    (worker,) = pods["tool-code"]["containers"]
    assert {"secretRef": {"name": "pods"}} in worker["envFrom"]
    told = {variable["name"]: variable["value"] for variable in worker["env"]}
    assert told["THREADMILL_SANDBOX"] == "agent-sandbox"
    assert told["THREADMILL_SANDBOX_POOL"] == POOL
    assert told["THREADMILL_SANDBOX_RUNTIME"] == "gvisor"


def unlabelled(policy: Any) -> str:
    """``policy`` as text, without the label that the chart gives all pods of a release."""
    return yaml.safe_dump(policy).replace("app.kubernetes.io/instance: threadmill\n", "").replace(" ", "")


@pytest.mark.parametrize(
    "values",
    [
        {"kafka": {"bootstraps": "kafka:9092"}},
        {"kafka": {"bootstrap": "kafka"}},
        {"settings": {"RUN_EXPIRY_S": "900"}},
        {"services": {"gateway": {"digest": "latest"}}},
        {"services": {"tool-code": {"scaling": {"max": 49}}}},
        {"services": {"gatewy": {}}},
        {"services": {"tool-code": {"agentSandbox": {"enabled": True}}}},
        {"services": {"tool-code": {"agentSandbox": {"pods": 2}}}},
    ],
)
def test_values_that_make_no_sense_are_refused(values: dict[str, Any]) -> None:
    with helm.Chart.load(CHART) as chart, pytest.raises(helm.HelmError):
        chart.validate_schema(chart.merge_values(with_values(EXISTING, values)))
