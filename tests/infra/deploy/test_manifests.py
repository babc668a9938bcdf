"""The Kubernetes manifests: every overlay is built and checked against schemas, and for what must hold of all of them.

No cluster is asked. Kinds of Kubernetes itself are checked by its own schemas, those of operators by ray_models.py.
"""

import importlib
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml
from ray.scripts.scripts import start

from infra.config import load
from jobs.__main__ import COMMANDS
from tests.infra.deploy.manifests import (
    JOBS,
    KUBERNETES,
    OVERLAYS,
    Document,
    PodTemplate,
    build,
    of_kind,
    pods,
    quantity,
    ray_cluster,
    ray_groups,
)
from tests.infra.workers.ray_models import MODELS, PrometheusRule

RELEASES = ("1.32", "1.37")  # of Kubernetes: the oldest that we name, and the newest that the validator knows
README = KUBERNETES.parent / "README.md"
JOB_NAMES = "index extract train represent evaluate report pipeline gc compact audit"
OF_OTHERS = {"hdpgmm", "hdpgmm-s3"}  # Secrets that the operator and the person make
# Measured, in GB, with the words of the README that say so; a shard's actor and an idle Ray were measured for base/.
FIGURES = {
    "driver": (1.8, "37 s, 1.8 GB"),
    "data worker": (0.55, "410 / 547 / 751 MB"),
    "rank": (0.75, "410 / 547 / 751 MB"),
    "representer": (0.66, "a worker 507 and 662"),
    "child": (0.73, "729 MB for an hour"),
}
ACTOR, RAY_HEAD, RAY_WORKER = 0.7, 1.9, 0.5

every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


def job_files() -> list[Document]:
    return [yaml.safe_load(path.read_text()) for path in JOBS]


def check(document: Document) -> None:
    """Against a model of ours, or the schemas of Kubernetes without room for unknown fields."""
    model = MODELS.get(document["kind"])
    if model is not None:
        model.model_validate(document)
        return
    for release in RELEASES:
        kubernetes_validate.validate(document, release, strict=True)


@every_overlay
def test_every_document_fits_its_schema(overlay: str) -> None:
    for document in build(overlay):
        check(document)
    for name, group in ray_groups(build(overlay)).items():
        check({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, **_pod(group["template"])})


def _pod(template: Document) -> Document:
    return {"metadata": template["metadata"], "spec": template["spec"]}


def test_a_job_of_each_kind_fits_its_schema() -> None:
    assert {path.stem for path in JOBS} == {*JOB_NAMES.split()}
    for document in job_files():
        check(document)
        assert document["metadata"]["generateName"], "created again for every run"


def test_a_wrong_manifest_is_found() -> None:
    cluster = of_kind(build("s3"), "RayCluster")[0]
    with pytest.raises(ValueError, match="authOption"):
        check({**cluster, "spec": {**cluster["spec"], "authOption": {"mode": "token"}}})
    cron = of_kind(build("s3"), "CronJob")[0]
    with pytest.raises(kubernetes_validate.ValidationError, match="concurencyPolicy"):
        check({**cron, "spec": {**cron["spec"], "concurencyPolicy": "Forbid"}})


@every_overlay
def test_pods_are_confined(overlay: str) -> None:
    for pod in pods(build(overlay)):
        context, inner = pod.spec["securityContext"], pod.container["securityContext"]
        assert context["runAsNonRoot"], pod.owner
        assert context["runAsUser"] == 1000, pod.owner
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, pod.owner
        assert inner == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, pod.owner
        assert pod.spec["automountServiceAccountToken"] is (pod.owner == "head"), pod.owner
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod.spec), pod.owner
        resources = pod.container["resources"]
        assert resources["requests"]["memory"] == resources["limits"]["memory"], pod.owner
        assert resources["requests"]["cpu"], pod.owner
        mounts = {mount["mountPath"] for mount in pod.container["volumeMounts"]}
        assert "/tmp" in mounts, pod.owner
        assert {"name": "HOME", "value": "/tmp"} in pod.container["env"], pod.owner
    beside = ray_cluster(build(overlay))["autoscalerOptions"]
    assert beside["securityContext"] == inner
    assert {mount["mountPath"] for mount in beside["volumeMounts"]} == {"/tmp", "/tmp/ray"}


@every_overlay
def test_what_ray_writes_on_the_head_has_a_limit(overlay: str) -> None:
    spec = ray_cluster(build(overlay))
    pod = spec["headGroupSpec"]["template"]["spec"]
    limited = {v["name"] for v in pod["volumes"] if v.get("emptyDir", {}).get("sizeLimit")}
    for container in (pod["containers"][0], spec["autoscalerOptions"]):
        # KubeRay adds an emptyDir without a limit to each container that has nothing mounted at this very path.
        (logs,) = [mount for mount in container["volumeMounts"] if mount["mountPath"] == "/tmp/ray"]
        assert logs["name"] in limited
        assert logs["subPath"] == "ray", "or it would hold the caches of /tmp as well"


@every_overlay
def test_the_cluster_asks_for_a_token_and_shows_nothing_outside(overlay: str) -> None:
    spec = ray_cluster(build(overlay))
    assert spec["authOptions"] == {"mode": "token"}
    assert f"ray=={spec['rayVersion']}\n" in Path("constraints.txt").read_text()
    assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert not spec["headGroupSpec"]["enableIngress"]
    assert not of_kind(build(overlay), "Service", "Ingress", "HTTPRoute", "Gateway")


@every_overlay
def test_workers_scale_from_none(overlay: str) -> None:
    spec, groups = ray_cluster(build(overlay)), ray_groups(build(overlay))
    assert spec["enableInTreeAutoscaling"]
    assert groups["head"]["rayStartParams"]["num-cpus"] == "0"
    assert all(group["minReplicas"] == 0 for name, group in groups.items() if name != "head")
    # The autoscaler only prefers nodes without GPUs for work on CPUs: one with CPUs to give would come for it.
    assert all(group["rayStartParams"]["num-cpus"] == "0" for name, group in groups.items() if name == "gpu")
    options = {option.name.replace("_", "-") for option in start.params if option.name}
    for group in groups.values():
        assert set(group["rayStartParams"]) <= options


@every_overlay
def test_a_node_that_leaves_has_time_to_drain(overlay: str) -> None:
    for name, group in ray_groups(build(overlay)).items():
        (container,) = group["template"]["spec"]["containers"]
        set_ = {variable["name"]: variable.get("value") for variable in container["env"]}
        grace = group["template"]["spec"]["terminationGracePeriodSeconds"]
        assert grace > float(set_["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"]) > 30, name


@every_overlay
def test_nothing_is_open_that_no_policy_opens(overlay: str) -> None:
    policies = [item["spec"] for item in of_kind(build(overlay), "NetworkPolicy")]
    closed = [spec for spec in policies if spec["podSelector"] == {}]
    assert closed == [{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}]
    for spec in policies:
        for rule in (*spec.get("ingress", ()), *spec.get("egress", ())):
            assert rule.get("from") or rule.get("to"), "a rule without a peer is open to all"
            assert rule.get("ports") or rule.get("from", rule.get("to")) == [
                {"podSelector": spec["podSelector"]}
            ]
            for peer in rule.get("to", ()):
                if peer.get("ipBlock", {}).get("cidr") == "0.0.0.0/0":
                    assert peer["ipBlock"]["except"] == ["169.254.0.0/16"], "the node's own credentials"
        assert not any("ipBlock" in peer for rule in spec.get("ingress", ()) for peer in rule["from"])
    for pod in pods(build(overlay)):
        assert any(selects(spec["podSelector"], pod) for spec in policies if spec["podSelector"]), pod.owner
    entered = {
        (pod.owner, port["port"])
        for pod in pods(build(overlay))
        for spec in policies
        if selects(spec["podSelector"], pod)
        for rule in spec.get("ingress", ())
        for port in rule.get("ports", ())
    }
    groups = set(ray_groups(build(overlay)))
    assert entered - {(name, 8080) for name in groups} == {("head", 8265)}


@every_overlay
def test_what_has_to_talk_may_talk(overlay: str) -> None:
    everyone = list(pods(build(overlay)))
    head = next(pod for pod in everyone if pod.owner == "head")
    for pod in everyone:
        assert may_talk(overlay, pod, head, 8265), pod.owner
        if pod.owner in ray_groups(build(overlay)):
            assert may_talk(overlay, pod, head, 6379)
            assert may_talk(overlay, head, pod, 12345), "workers, object managers and gloo choose free ports"
        else:
            assert not may_talk(overlay, pod, head, 6379), pod.owner


def may_talk(overlay: str, one: PodTemplate, other: PodTemplate, port: int) -> bool:
    """Whether a policy lets `one` out to `other`, and one lets it in there."""
    policies = [item["spec"] for item in of_kind(build(overlay), "NetworkPolicy")]
    ways = (("egress", "to", one, other), ("ingress", "from", other, one))
    return all(
        any(
            any(selects(peer["podSelector"], far) for peer in rule[side] if set(peer) == {"podSelector"})
            and port in [item["port"] for item in rule.get("ports", [{"port": port}])]
            for spec in policies
            if selects(spec["podSelector"], near)
            for rule in spec.get(direction, ())
        )
        for direction, side, near, far in ways
    )


def selects(selector: Document, pod: PodTemplate) -> bool:
    within = all(
        pod.labels.get(rule["key"]) in rule["values"] and rule["operator"] == "In"
        for rule in selector.get("matchExpressions", ())
    )
    return within and selector.get("matchLabels", {}).items() <= pod.labels.items()


@every_overlay
def test_one_image_pinned(overlay: str) -> None:
    version = tomllib.loads(Path("pyproject.toml").read_text())["project"]["version"]
    places = {pod.owner: pod.container["image"].rsplit(":", 1) for pod in pods(build(overlay))}
    assert len({name for name, _ in places.values()}) == 1
    for owner, (_, tag) in places.items():
        assert tag == f"{version}-{'cuda' if owner == 'gpu' else 'cpu'}"


@every_overlay
def test_nights_do_not_overlap(overlay: str) -> None:
    for cron in of_kind(build(overlay), "CronJob"):
        spec = cron["spec"]
        assert spec["concurrencyPolicy"] == "Forbid"
        job = spec["jobTemplate"]["spec"]
        assert job["activeDeadlineSeconds"] >= 86400, "one that hangs would keep all later ones away"
        assert job["template"]["spec"]["restartPolicy"] == "Never", "a podFailurePolicy asks for it"
        useless = [rule["onExitCodes"]["values"] for rule in job["podFailurePolicy"]["rules"][1:]]
        assert useless == [[2, 3, 130]]
    nightly = {"s3": 3, "aws": 3, "laptop": 0, "raycronjob": 0}
    assert len(of_kind(build(overlay), "CronJob")) == nightly[overlay]
    assert bool(of_kind(build(overlay), "RayCronJob")) == (overlay == "raycronjob")


def commands(overlay: str) -> Iterator[list[str]]:
    """Every command line of a job, as the words that its process gets."""
    for document in job_files():
        yield shlex.split(document["spec"]["entrypoint"])
    for document in of_kind(build(overlay), "RayCronJob"):
        yield shlex.split(document["spec"]["jobTemplate"]["entrypoint"])
    for pod in pods(build(overlay)):
        words = [*pod.container.get("command", ()), *pod.container.get("args", ())]
        if words:
            assert words[:3] == ["python", "-m", "jobs.submit"], pod.owner
            yield words
            yield words[words.index("--") + 1 :]


@every_overlay
def test_every_command_line_can_be_read(overlay: str) -> None:
    seen = set()
    for words in commands(overlay):
        python, flag, module, *arguments = words
        assert (python, flag) == ("python", "-m")
        app = typer.Typer(add_completion=False)
        app.command()(importlib.import_module(COMMANDS[module.removeprefix("jobs.")]).main)
        typer.main.get_command(app).make_context(module, [*arguments])
        seen.add(module)
        if module != "jobs.submit":
            assert arguments[arguments.index("--config") + 1] == "/etc/hdpgmm/config.yaml"
    assert seen >= {f"jobs.{name}" for name in JOB_NAMES.split()}


@every_overlay
def test_what_the_jobs_are_told_fits_the_cluster(overlay: str) -> None:
    groups, (config,) = ray_groups(build(overlay)), _configs(overlay)
    assert config == (KUBERNETES / "overlays" / overlay / "config.yaml").read_text()
    told = load(str(KUBERNETES / "overlays" / overlay / "config.yaml"))
    cpus = groups["cpu"]["maxReplicas"] * int(groups["cpu"]["rayStartParams"]["num-cpus"])
    assert told.extract.workers == told.represent.workers == cpus
    assert told.train.device == told.represent.device == "cpu" or "gpu" in groups
    assert "auto" not in (told.train.device, told.represent.device), "it would look before a GPU has come"
    assert told.ray.wait_seconds >= 300
    assert told.root.startswith("s3://")
    assert told.music is not None
    store = min(int(group["rayStartParams"]["object-store-memory"]) for group in groups.values())
    assert told.train.ahead_bytes <= 0.7 * store


def _configs(overlay: str) -> list[str]:
    maps = of_kind(build(overlay), "ConfigMap")
    found = [item for item in maps if item["metadata"]["name"] == "hdpgmm-config"]
    (mount,) = [
        mount
        for mount in ray_groups(build(overlay))["head"]["template"]["spec"]["containers"][0]["volumeMounts"]
        if mount["name"] == "config"
    ]
    assert mount["mountPath"] == "/etc/hdpgmm"
    return [item["data"]["config.yaml"] for item in found]


@every_overlay
def test_whatever_is_named_is_there(overlay: str) -> None:
    there = {(item["kind"], item["metadata"].get("name")) for item in build(overlay)}
    there |= {("Secret", name) for name in OF_OTHERS}
    for pod in pods(build(overlay)):
        volumes = {volume["name"] for volume in pod.spec.get("volumes", ())}
        assert {mount["name"] for mount in pod.container["volumeMounts"]} <= volumes
        named = {("ConfigMap", v["configMap"]["name"]) for v in pod.spec["volumes"] if "configMap" in v}
        for source in pod.container.get("envFrom", ()):
            named |= {("ConfigMap", s["name"]) for s in [source.get("configMapRef")] if s}
            named |= {("Secret", s["name"]) for s in [source.get("secretRef")] if s}
        for variable in pod.container["env"]:
            key = variable.get("valueFrom", {}).get("secretKeyRef")
            named |= {("Secret", key["name"])} if key else set()
            assert not key or key == {"name": "hdpgmm", "key": "auth_token"}
        if "serviceAccountName" in pod.spec:
            named.add(("ServiceAccount", pod.spec["serviceAccountName"]))
        assert named <= there, pod.owner
    assert all(name in README.read_text() for name in OF_OTHERS)
    names = {item["metadata"]["name"] for item in of_kind(build(overlay), "RayCluster")}
    assert names == {job["spec"]["clusterSelector"]["ray.io/cluster"] for job in job_files()} == {"hdpgmm"}


@every_overlay
def test_no_secret_is_in_our_files(overlay: str) -> None:
    assert not of_kind(build(overlay), "Secret")
    for pod in pods(build(overlay)):
        for variable in pod.container["env"]:
            if re.search("TOKEN|SECRET|PASSWORD|ACCESS_KEY", variable["name"]):
                assert "value" not in variable, variable["name"]
    for item in of_kind(build(overlay), "ConfigMap"):
        assert not re.search("TOKEN|SECRET|PASSWORD|ACCESS_KEY", " ".join(item["data"]))


def test_the_figures_are_those_of_the_readme() -> None:
    readme = Path("README.md").read_text()
    for name, (_, words) in FIGURES.items():
        assert words in readme, f"{name}: measured anew? then change FIGURES and base/raycluster.yaml"


@every_overlay
def test_memory_is_what_was_measured_or_more(overlay: str) -> None:
    gb = {name: figure for name, (figure, _) in FIGURES.items()}
    for name, group in ray_groups(build(overlay)).items():
        (container,) = group["template"]["spec"]["containers"]
        store = int(group["rayStartParams"]["object-store-memory"]) / 1e9
        cpus = int(group["rayStartParams"]["num-cpus"])
        work = {
            "head": gb["driver"] + 2 * gb["data worker"] + RAY_HEAD,
            "cpu": cpus * max(ACTOR + gb["child"], gb["representer"]) + RAY_WORKER,
            "gpu": gb["rank"] + 2 * gb["data worker"] + RAY_WORKER,
        }
        assert quantity(container["resources"]["requests"]["memory"]) / 1e9 >= work[name] + store, name
        (shared,) = [v["emptyDir"] for v in group["template"]["spec"]["volumes"] if v["name"] == "shm"]
        assert shared["medium"] == "Memory"
        assert quantity(shared["sizeLimit"]) / 1e9 >= store


def test_the_readmes_command_makes_alerts_of_the_operators_kind() -> None:
    (command,) = re.findall(r"^ *(\(.*monitoring/rules\.yaml\)) \| kubectl", README.read_text(), re.M)
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    made: dict[str, Any] = yaml.safe_load(done.stdout)
    found = PrometheusRule.model_validate(made).spec.groups
    ours = yaml.safe_load((KUBERNETES.parent / "monitoring" / "rules.yaml").read_text())["groups"]
    assert [[rule.alert for rule in group.rules] for group in found] == [
        [rule["alert"] for rule in group["rules"]] for group in ours
    ]
