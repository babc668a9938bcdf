"""What the overlays of infra/deploy/kubernetes build, and its parts, for the tests that look at them."""

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

KUBERNETES = Path("infra/deploy/kubernetes")
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
JOBS = sorted((KUBERNETES / "jobs").glob("*.yaml"))
UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "": 1}

Document = dict[str, Any]


class PodTemplate(NamedTuple):
    """A pod as a manifest describes it: whose it is, its labels, its spec."""

    owner: str
    labels: dict[str, str]
    spec: Document

    @property
    def container(self) -> Document:
        (only,) = self.spec["containers"]
        return only


@cache
def build(overlay: str) -> tuple[Document, ...]:
    """The documents of an overlay, as `kubectl apply --kustomize` would send them."""
    if shutil.which("kubectl") is None:
        pytest.skip("needs kubectl, which builds the overlays: they are NOT checked here")
    done = subprocess.run(
        ["kubectl", "kustomize", str(KUBERNETES / "overlays" / overlay)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(documents: tuple[Document, ...], *kinds: str) -> list[Document]:
    return [document for document in documents if document["kind"] in kinds]


def ray_cluster(documents: tuple[Document, ...]) -> Document:
    (cluster,) = of_kind(documents, "RayCluster")
    return cluster["spec"]


def ray_groups(documents: tuple[Document, ...]) -> dict[str, Document]:
    """The head's group and those of workers, by name."""
    spec = ray_cluster(documents)
    return {"head": spec["headGroupSpec"]} | {group["groupName"]: group for group in spec["workerGroupSpecs"]}


def pods(documents: tuple[Document, ...]) -> Iterator[PodTemplate]:
    for name, group in ray_groups(documents).items():
        yield template(name, group["template"])
    for cron in of_kind(documents, "CronJob"):
        yield template(cron["metadata"]["name"], cron["spec"]["jobTemplate"]["spec"]["template"])


def template(owner: str, found: Document) -> PodTemplate:
    return PodTemplate(owner, found["metadata"]["labels"], found["spec"])


def quantity(text: str) -> float:
    """Bytes of a memory quantity."""
    number, unit = (text[:-2], text[-2:]) if text[-1] == "i" else (text, "")
    return float(number) * UNITS[unit]
