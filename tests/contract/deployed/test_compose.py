"""``deploy/compose.yaml`` and what it mounts: known fields, pinned images, settings that exist."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.deployed.manifests import ROOT, SERVICES, is_secret, metric_names, settings_of

DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
OURS = {name: service for name, service in COMPOSE["services"].items() if "build" in service}
# Of the Compose specification, what we use: a misspelt field would be an error there, and is one here.
FIELDS = {
    *("build", "cap_drop", "command", "depends_on", "environment", "healthcheck", "image", "mem_limit"),
    *("pids_limit", "ports", "profiles", "pull_policy", "read_only", "restart", "security_opt"),
    *("stop_grace_period", "tmpfs", "volumes"),
}
BOARDS = sorted((DEPLOY / "observability/dashboards").glob("*.json"))
HEALTH = {"test", "interval", "timeout", "retries"}


def test_every_field_is_one_of_the_specification() -> None:
    assert set(COMPOSE) == {"name", "services", "volumes", "x-build", "x-service", "x-environment", "x-model"}
    for name, service in COMPOSE["services"].items():
        assert service.keys() <= FIELDS, name
        assert service.get("healthcheck", {}).keys() <= HEALTH, name
        for other in service.get("depends_on", {}):
            assert other in COMPOSE["services"], name


def test_the_images_of_others_are_pinned_by_version() -> None:
    others = [s["image"] for s in COMPOSE["services"].values() if not s["image"].startswith("threadmill/")]
    assert len(others) == 6
    assert [image for image in others if not re.search(r":v?[0-9]+\.[0-9]+", image)] == []


@pytest.mark.parametrize("name", OURS)
def test_a_service_is_told_only_what_it_reads(name: str) -> None:
    assert OURS[name]["environment"].keys() <= settings_of(name)
    assert str(SERVICES[name]) in str(OURS[name]["healthcheck"]["test"])
    assert OURS[name]["read_only"] is True
    assert OURS[name]["cap_drop"] == ["ALL"]


def test_secrets_can_be_given_and_the_ports_are_for_this_machine() -> None:
    for service in OURS.values():
        for variable, value in service["environment"].items():
            if is_secret(variable) and variable != "THREADMILL_MONGO_URL":
                assert value.startswith(f"${{{variable}:-"), variable
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_every_target_is_in_the_dockerfile_with_its_own_requirements() -> None:
    for name, service in OURS.items():
        assert f"AS {service['build']['target']}\n" in DOCKERFILE
        assert (ROOT / f"requirements/image-{name.replace('-', '_')}.txt").is_file()
    assert "USER 10001:10001" in DOCKERFILE


def test_what_is_mounted_is_there() -> None:
    volumes = [v for s in COMPOSE["services"].values() for v in s.get("volumes", ()) if v.startswith("./")]
    assert volumes
    assert [v for v in volumes if not (DEPLOY / v.partition(":")[0]).exists()] == []


def test_prometheus_asks_every_service_where_it_shows_its_metrics() -> None:
    prometheus = yaml.safe_load((DEPLOY / "observability/prometheus.yaml").read_text())
    (job,) = prometheus["scrape_configs"]
    asked = {config["names"][0]: config["port"] for config in job["dns_sd_configs"]}
    ports = {name: SERVICES[name] for name in OURS}
    assert asked == {**ports, "gateway": int(OURS["gateway"]["environment"]["THREADMILL_METRICS_PORT"])}


@pytest.mark.parametrize(
    "path", sorted((DEPLOY / "observability/dashboards").glob("*.json")), ids=lambda p: p.stem
)
def test_a_dashboard_shows_metrics_that_there_are(path: Path) -> None:
    board: dict[str, Any] = json.loads(path.read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked = {name for query in queries for name in re.findall("threadmill_[a-z_]+", query)}
    assert asked
    assert asked <= metric_names()
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
