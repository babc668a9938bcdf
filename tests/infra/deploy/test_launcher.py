"""Ray's cluster launcher: its configuration fits Ray's own schema and options, and what must hold of it."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import start

from infra.config import load

LAUNCHER = Path("infra/deploy/launcher")


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    """As `ray up` sees it, before it asks AWS."""
    prepared = prepare_config(yaml.safe_load((LAUNCHER / "cluster.yaml").read_text()))
    validate_config(prepared)
    return prepared


def test_every_process_has_the_token_and_none_is_public(cluster: dict[str, Any]) -> None:
    assert "--env=RAY_AUTH_MODE=token" in cluster["docker"]["run_options"]
    assert cluster["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    (rule,) = cluster["provider"]["security_group"]["IpPermissions"]
    assert (rule["FromPort"], rule["ToPort"]) == (22, 22)
    assert all(block["CidrIp"].endswith("/32") for block in rule["IpRanges"])
    for node in cluster["available_node_types"].values():
        assert node["node_config"]["MetadataOptions"]["HttpTokens"] == "required"


def test_ray_start_knows_its_options(cluster: dict[str, Any]) -> None:
    parsed = []
    for command in (*cluster["head_start_ray_commands"], *cluster["worker_start_ray_commands"]):
        words = shlex.split(command)
        assert words[0] == "ray"
        if words[1] == "start":
            parsed.append(start.make_context("start", words[2:]).params)
    head, worker = parsed
    assert head["head"]
    assert head["dashboard_host"] == "127.0.0.1"
    assert head["num_cpus"] == 0
    assert head["object_store_memory"] == worker["object_store_memory"]
    assert worker["address"] == "$RAY_HEAD_IP:6379"


def test_nodes_come_and_go_with_the_jobs(cluster: dict[str, Any]) -> None:
    types = cluster["available_node_types"]
    assert [node["min_workers"] for node in types.values()] == [0, 0, 0]
    assert types["head"]["resources"]["CPU"] == 0
    assert cluster["max_workers"] >= sum(node["max_workers"] for node in types.values())
    told = load(str(LAUNCHER / "config.yaml"))
    workers = types["cpu"]["max_workers"] * types["cpu"]["resources"]["CPU"]
    assert told.extract.workers == told.represent.workers == workers
    assert told.train.device == "cuda"
    assert types["gpu"]["resources"] == {"CPU": 0, "GPU": 1}, "work for CPUs would bring it"


def test_nothing_is_set_for_a_drain_that_does_not_come(cluster: dict[str, Any]) -> None:
    """Ray drains a node on SIGTERM in `ray start --block` alone, which the launcher must not wait for."""
    commands = (*cluster["head_start_ray_commands"], *cluster["worker_start_ray_commands"])
    assert not any("--block" in command for command in commands)
    assert not any("DRAIN" in option for option in cluster["docker"]["run_options"])


def test_images_are_those_of_kubernetes(cluster: dict[str, Any]) -> None:
    overlay = yaml.safe_load((LAUNCHER.parent / "kubernetes/overlays/s3/kustomization.yaml").read_text())
    cpu, cuda = (f"{image['newName']}:{image['newTag']}" for image in overlay["images"])
    assert cluster["docker"]["image"] == cpu
    assert cluster["available_node_types"]["gpu"]["docker"]["worker_image"] == cuda
    assert (
        cluster["setup_commands"] == cluster["head_setup_commands"] == cluster["worker_setup_commands"] == []
    )
