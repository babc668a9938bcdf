"""The custom resources that our manifests use, field by field: another name, type or value is an error.

After KubeRay 1.7's and prometheus-operator's API references. Pod templates stay open here: they are checked as Pods.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=40)]
Cron = Annotated[str, StringConstraints(pattern=r"^[0-9*/,-]+( [0-9*/,-]+){4}$")]
Count = Annotated[int, Field(ge=0)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Metadata(Strict):
    name: Name | None = None
    generateName: str | None = None
    namespace: str | None = None
    labels: dict[str, str] = {}

    @model_validator(mode="after")
    def named(self) -> "Metadata":
        assert (self.name is None) != (self.generateName is None), "one of name and generateName"
        return self


class AuthOptions(Strict):
    mode: Literal["token", "disabled"]


class AutoscalerOptions(Strict):
    version: Literal["v1", "v2"]
    idleTimeoutSeconds: Count
    upscalingMode: Literal["Default", "Aggressive", "Conservative"]
    imagePullPolicy: Literal["IfNotPresent", "Always", "Never"]
    securityContext: dict[str, Any]
    resources: dict[str, Any]
    env: list[dict[str, Any]]
    volumeMounts: list[dict[str, Any]]


class HeadGroup(Strict):
    serviceType: Literal["ClusterIP", "NodePort", "LoadBalancer"]
    enableIngress: bool
    rayStartParams: dict[str, str]
    template: dict[str, Any]


class WorkerGroup(Strict):
    groupName: Name
    replicas: Count
    minReplicas: Count
    maxReplicas: Count
    rayStartParams: dict[str, str]
    template: dict[str, Any]

    @model_validator(mode="after")
    def ordered(self) -> "WorkerGroup":
        assert self.minReplicas <= self.replicas <= self.maxReplicas
        return self


class RayClusterSpec(Strict):
    rayVersion: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$")]
    authOptions: AuthOptions
    enableInTreeAutoscaling: bool
    autoscalerOptions: AutoscalerOptions
    headGroupSpec: HeadGroup
    workerGroupSpecs: list[WorkerGroup]


class RayJobSpec(Strict):
    """On a cluster that there is. With a selector the operator refuses retries, suspension and the sidecar mode."""

    clusterSelector: dict[str, str]
    submissionMode: Literal["K8sJobMode", "HTTPMode", "InteractiveMode"]
    entrypoint: str

    @model_validator(mode="after")
    def selected(self) -> "RayJobSpec":
        assert self.clusterSelector.get("ray.io/cluster"), "the operator looks for ray.io/cluster"
        return self


class RayCronJobSpec(Strict):
    schedule: Cron
    jobTemplate: RayJobSpec
    suspend: bool = False


class Selector(Strict):
    matchLabels: dict[str, str]
    matchExpressions: list[dict[str, Any]] = []


class Endpoint(Strict):
    port: str
    interval: Annotated[str, StringConstraints(pattern=r"^\d+[sm]$")]


class PodMonitorSpec(Strict):
    selector: Selector
    podMetricsEndpoints: list[Endpoint]


class Rule(Strict):
    alert: str
    expr: str
    for_: Annotated[str, Field(alias="for")] = "0s"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class RuleGroup(Strict):
    name: str
    rules: list[Rule]


class PrometheusRuleSpec(Strict):
    groups: list[RuleGroup]


class Ray(Strict):
    apiVersion: Literal["ray.io/v1"]
    kind: str
    metadata: Metadata


class Monitoring(Strict):
    apiVersion: Literal["monitoring.coreos.com/v1"]
    kind: str
    metadata: Metadata


class RayCluster(Ray):
    spec: RayClusterSpec


class RayJob(Ray):
    spec: RayJobSpec


class RayCronJob(Ray):
    spec: RayCronJobSpec


class PodMonitor(Monitoring):
    spec: PodMonitorSpec


class PrometheusRule(Monitoring):
    spec: PrometheusRuleSpec


MODELS = {model.__name__: model for model in (RayCluster, RayJob, RayCronJob, PodMonitor, PrometheusRule)}
