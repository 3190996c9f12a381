"""The Kubernetes deployment, checked against the schemas of Dagster and Kubernetes.

`test_kubernetes_runs` runs what they describe.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._config import validate_config
from dagster_k8s import K8sRunLauncher
from dagster_k8s.models import k8s_model_from_dict, k8s_snake_case_dict
from kubernetes import client

from lcm_pipeline.settings import Settings, load_settings
from tests.commands import run

_FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"


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
    of_runs = snake["run_k8s_config"]
    _model(client.V1JobSpec, {**of_runs["jobSpecConfig"], "template": {}})
    _model(client.V1PodSpec, {**of_runs["podSpecConfig"], "containers": []})
    _model(client.V1Container, {**of_runs["containerConfig"], "name": "dagster"})
    snake["run_k8s_config"] = {
        "job_spec_config": of_runs["jobSpecConfig"],
        "pod_spec_config": of_runs["podSpecConfig"],
        "container_config": of_runs["containerConfig"],
    }
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
@pytest.mark.parametrize("place", [{}, {"KUBERNETES_SERVICE_HOST": "127.0.0.1"}])
def test_a_command_says_who_can_run_its_steps_in_pods(
    place: dict[str, str], tmp_path: Path
) -> None:
    ended = run(tmp_path, "ui", LCM_EXECUTOR="k8s", **place)
    assert ended.returncode == 2, ended.stderr
    assert "LCM_EXECUTOR=k8s runs the steps of a run that Dagster has launched" in ended.stderr
    assert "Traceback" not in ended.stderr
