"""The Kubernetes deployment, checked against the schemas of Dagster and Kubernetes.

No cluster runs here, so these tests do not show whether the pods start.
"""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from dagster._config import validate_config
from dagster_k8s import K8sRunLauncher, k8s_job_executor
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import construct_dagster_k8s_job
from dagster_k8s.models import k8s_model_from_dict, k8s_snake_case_dict
from kubernetes import client

from lcm_pipeline.orchestration.executors import k8s_config
from lcm_pipeline.settings import Settings, load_settings
from tests.commands import run

_FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
_MARCH = ("--from", "2026-03-01", "--to", "2026-03-30")


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((_FOLDER / "values.yaml").read_text("utf-8"))
    return loaded


@pytest.fixture(scope="module")
def deployment(values: dict[str, Any]) -> dict[str, Any]:
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    found: dict[str, Any] = deployment
    return found


def _model(kind: type, given: dict[str, Any]) -> Any:
    """Build Kubernetes' own model; raises for a field that it does not have."""
    return k8s_model_from_dict(kind, k8s_snake_case_dict(kind, given))


def _context_of(deployment: dict[str, Any]) -> K8sContainerContext:
    """The configuration that the chart passes to runs with includeConfigInLaunchedRuns."""
    given = {
        "image_pull_policy": deployment["image"]["pullPolicy"],
        "env_vars": [f"{name}={value}" for name, value in deployment["env"].items()],
        "env_secrets": [secret["name"] for secret in deployment["envSecrets"]],
        "resources": deployment["resources"],
        "security_context": deployment["securityContext"],
        "volumes": deployment["volumes"],
        "volume_mounts": deployment["volumeMounts"],
        "run_k8s_config": {
            "pod_spec_config": {"securityContext": deployment["podSecurityContext"]}
        },
    }
    return K8sContainerContext.create_from_config({"k8s": given})


def test_the_executor_configuration_matches_dagsters_schema() -> None:
    config = k8s_config(load_settings(executor="k8s", readers=4))
    checked = validate_config(k8s_job_executor.config_schema.config_type, config)
    assert checked.success, checked.errors
    assert config["max_concurrent"] == 5


def test_a_pod_of_a_step_has_the_secret_and_resource_limits(deployment: dict[str, Any]) -> None:
    config = k8s_config(load_settings(executor="k8s", readers=4))
    own = K8sContainerContext(
        env_secrets=config["env_secrets"],
        env_vars=config["env_vars"],
        resources=config["resources"],
    )
    context = _context_of(deployment).merge(own)
    launcher: Any = SimpleNamespace(
        dagster_home="/opt/dagster/dagster_home",
        instance_config_map="dagster-instance",
        postgres_password_secret="lcm-dagster-postgresql",
    )
    job = construct_dagster_k8s_job(
        context.get_k8s_job_config("registry/lcm:1", launcher),
        ["dagster", "api", "execute_step"],
        "dagster-step-1",
        component="step_worker",
        user_defined_k8s_config=context.run_k8s_config,
    )
    # The client knows each field of the API and its type.
    sent = client.ApiClient().sanitize_for_serialization(job)
    (container,) = sent["spec"]["template"]["spec"]["containers"]
    assert {"secretRef": {"name": "lcm-pipeline"}} in [
        {"secretRef": {"name": one["secretRef"]["name"]}} for one in container["envFrom"]
    ]
    environment = {one["name"]: one.get("value") for one in container["env"]}
    assert environment["LCM_EXECUTOR"] == "k8s"
    assert environment["LCM_READERS"] == "4"
    assert container["resources"]["limits"]["memory"] == "1Gi"
    assert sent["spec"]["backoffLimit"] == 0
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    pod = sent["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    empty = {one["name"] for one in pod["volumes"] if "emptyDir" in one}
    written = {one["mountPath"] for one in container["volumeMounts"] if one["name"] in empty}
    assert written == {"/tmp", deployment["env"]["LCM_HOME"]}


def test_kubernetes_knows_each_field_of_the_values(
    values: dict[str, Any], deployment: dict[str, Any]
) -> None:
    for given in (deployment, values["dagsterWebserver"], values["dagsterDaemon"]):
        _model(client.V1ResourceRequirements, given["resources"])
        for name, probe in given.items():
            if name.endswith("Probe"):
                # `enabled` belongs to the chart.
                _model(client.V1Probe, {k: v for k, v in probe.items() if k != "enabled"})
    _model(client.V1PodSecurityContext, deployment["podSecurityContext"])
    _model(client.V1SecurityContext, deployment["securityContext"])
    for secret in deployment["envSecrets"]:
        _model(client.V1SecretEnvSource, secret)
    for volume in deployment["volumes"]:
        _model(client.V1Volume, volume)
    for mount in deployment["volumeMounts"]:
        _model(client.V1VolumeMount, mount)
    probes = [name for name in deployment if name.endswith("Probe")]
    assert sorted(probes) == ["livenessProbe", "readinessProbe", "startupProbe"]


def test_the_run_launcher_configuration_matches_dagsters_schema(values: dict[str, Any]) -> None:
    launcher = values["runLauncher"]
    assert launcher["type"] == "K8sRunLauncher"
    given = launcher["config"]["k8sRunLauncher"]
    snake = {re.sub("([A-Z])", r"_\1", name).lower(): value for name, value in given.items()}
    job_spec = snake["run_k8s_config"]["jobSpecConfig"]
    _model(client.V1JobSpec, {**job_spec, "template": {}})
    snake["run_k8s_config"] = {"job_spec_config": job_spec}
    # The chart itself fills these in.
    snake |= {"service_account_name": "dagster", "dagster_home": "/opt/dagster/dagster_home"}
    snake |= {"instance_config_map": "dagster-instance", "postgres_password_secret": "secret"}
    checked = validate_config(K8sRunLauncher.config_type(), snake)
    assert checked.success, checked.errors


def test_the_environment_and_the_secret_are_settings(
    deployment: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = list(yaml.safe_load_all((_FOLDER / "secret.example.yaml").read_text("utf-8")))
    for secret in secrets:
        camel = {name: value for name, value in secret.items() if name != "kind"}
        _model(client.V1Secret, camel)
    names = {secret["metadata"]["name"] for secret in secrets}
    assert {one["name"] for one in deployment["envSecrets"]} <= names
    given = {**deployment["env"], **secrets[0]["stringData"]}
    for name, value in given.items():
        assert isinstance(value, str), name
        monkeypatch.setenv(name, value)
    settings: Settings = load_settings(_env_file=None)
    assert settings.executor == "k8s"
    assert settings.database_url is not None
    assert settings.dagster_database_url is not None


@pytest.mark.slow
def test_the_error_outside_of_a_cluster_says_so(tmp_path: Path) -> None:
    ended = run(tmp_path, "ui", LCM_EXECUTOR="k8s")
    assert ended.returncode == 2, ended.stderr
    assert "this process is not in one" in ended.stderr
    assert "Traceback" not in ended.stderr
