"""Runs by the values for Kubernetes: Dagster's launcher and executor, and a stand-in for a cluster.

What the chart makes of the values is repeated here: dagster.yaml, and the code server's container
context.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import dagster as dg
import psycopg
import pytest
import yaml

from lcm_pipeline.orchestration.partitions import tags_for
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from tests.commands import environment
from tests.conftest import Programme
from tests.crash.repeats import (
    RequestCounts,
    repeated_readings,
    requests_since,
)
from tests.oracle import assert_exact
from tests.pipeline.kubernetes_cluster import Cluster, Job, kubernetes_cluster
from tests.ports import free_port, is_listening
from tests.syncing import MARCH
from tests.waiting import PATIENCE, wait_for

pytestmark = pytest.mark.slow

_VALUES = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes" / "values.yaml"
_IMAGE = "registry.example.internal/lcm-pipeline:1"
_CONCURRENCY = 4
_READERS = {"operations.operations_read_1", "operations.operations_read_2"}
_DAGSTER = Path(sys.executable).with_name("dagster")


@pytest.fixture
def source(programme: Programme) -> RunningSimulator:
    return programme(clients=40, quirks=["latency_ms=500"])


@pytest.fixture
def values() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(_VALUES.read_text("utf-8"))
    return loaded


@pytest.fixture
def cluster(
    source: RunningSimulator, warehouse: Warehouse, values: dict[str, Any], tmp_path: Path
) -> Iterator[Cluster]:
    """A cluster whose Secrets hold what secret.example.yaml asks for."""
    password = urlsplit(warehouse.url).password or ""
    secrets = {
        "lcm-pipeline": {
            "LCM_API_URL": source.url,
            "LCM_OPERATOR": "1",
            "LCM_TOKEN": "1",
            "LCM_DATABASE_URL": warehouse.url,
            "LCM_DAGSTER_DATABASE_URL": _storage_url(warehouse),
        },
        values["global"]["postgresqlSecretName"]: {"postgresql-password": password},
    }
    (tmp_path / "cluster").mkdir()
    with kubernetes_cluster(tmp_path / "cluster", secrets) as cluster:
        yield cluster


@pytest.fixture
def dagster_home(
    cluster: Cluster,
    warehouse: Warehouse,
    values: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Path]:
    """The folder of dagster.yaml, as the chart mounts it in each pod; the storage is empty."""
    url = urlsplit(_storage_url(warehouse))
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]
    of_runs = launcher["runK8sConfig"]
    home = tmp_path / "dagster_home"
    home.mkdir()
    configuration = {
        "storage": {
            "postgres": {
                "postgres_db": {
                    "username": url.username,
                    "password": {"env": "DAGSTER_PG_PASSWORD"},
                    # A host in `params` wins: the test's Postgres listens on a socket.
                    "hostname": "",
                    "port": 5432,
                    "params": dict(parse_qsl(url.query)),
                    "db_name": url.path.removeprefix("/"),
                    "scheme": values["postgresql"]["postgresqlScheme"],
                }
            }
        },
        "run_launcher": {
            "module": "dagster_k8s",
            "class": "K8sRunLauncher",
            "config": {
                # Within a real cluster the pod's own account, which is found in a fixed folder.
                "load_incluster_config": False,
                "kubeconfig_file": str(cluster.kubeconfig),
                "job_namespace": "loyalty",
                "service_account_name": "dagster",
                "instance_config_map": "dagster-instance",
                "dagster_home": str(home),
                "postgres_password_secret": values["global"]["postgresqlSecretName"],
                "image_pull_policy": launcher["imagePullPolicy"],
                "fail_pod_on_run_failure": launcher["failPodOnRunFailure"],
                "run_k8s_config": {
                    "job_spec_config": of_runs["jobSpecConfig"],
                    "pod_spec_config": of_runs["podSpecConfig"],
                    "container_config": of_runs["containerConfig"],
                },
            },
        },
        "run_monitoring": {
            "enabled": values["dagsterDaemon"]["runMonitoring"]["enabled"],
            # In the values 120 seconds.
            "poll_interval_seconds": 5,
        },
        "run_retries": {
            "enabled": values["dagsterDaemon"]["runRetries"]["enabled"],
            "max_retries": values["dagsterDaemon"]["runRetries"]["maxRetries"],
        },
        "concurrency": {
            "pools": {
                "granularity": values["concurrency"]["pools"]["granularity"],
                "default_limit": values["concurrency"]["pools"]["defaultLimit"],
            },
            "runs": {"max_concurrent_runs": values["concurrency"]["runs"]["maxConcurrentRuns"]},
        },
        "telemetry": values["telemetry"],
    }
    (password,) = cluster.secrets[values["global"]["postgresqlSecretName"]].values()
    monkeypatch.setenv("DAGSTER_PG_PASSWORD", password)
    (home / "dagster.yaml").write_text(yaml.safe_dump(configuration), encoding="utf-8")
    with psycopg.connect(warehouse.url, autocommit=True) as session:
        session.execute(f"create database {url.path.removeprefix('/')}".encode())
        yield home
        session.execute(f"drop database {url.path.removeprefix('/')} with (force)".encode())


@pytest.fixture
def instance(
    clean: RequestCounts,  # before, as it reads the same source
    cluster: Cluster,
    dagster_home: Path,
    values: dict[str, Any],
    tmp_path: Path,
) -> Iterator[dg.DagsterInstance]:
    """Launch a run with the chart's code location and daemon; yields the instance it is in."""
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    own = {**deployment["env"], "LCM_READERS": "2", "LCM_CONCURRENCY": str(_CONCURRENCY)}
    own["LCM_HOME"] = str(tmp_path / "home")
    context = {
        "k8s": {
            "image_pull_policy": deployment["image"]["pullPolicy"],
            "env_secrets": [secret["name"] for secret in deployment["envSecrets"]],
            "env_vars": [f"{name}={value}" for name, value in own.items()],
            "resources": deployment["resources"],
            "volumes": deployment["volumes"],
            "volume_mounts": deployment["volumeMounts"],
            "namespace": "loyalty",
            "service_account_name": "dagster-dagster-user-deployments-user-deployments",
        }
    }
    secrets = {name: value for given in cluster.secrets.values() for name, value in given.items()}
    variables = {
        **environment(tmp_path, **own, **secrets),
        "DAGSTER_HOME": str(dagster_home),
        "DAGSTER_PG_PASSWORD": os.environ["DAGSTER_PG_PASSWORD"],
    }
    port = free_port()
    workspace = dagster_home / "workspace.yaml"
    server = {"host": "127.0.0.1", "port": port, "location_name": "lcm"}
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}), "utf-8")
    code_server = (
        "api", "grpc", *deployment["dagsterApiGrpcArgs"], "--port", str(port),
        "--container-image", _IMAGE, "--container-context", json.dumps(context),
    )  # fmt: skip
    daemon = [Path(sys.executable).with_name("dagster-daemon"), "run", "--workspace", workspace]
    with _process([_DAGSTER, *code_server], variables, tmp_path / "code_server.log") as location:
        wait_for(lambda: is_listening(port) or location.poll() is not None)
        assert location.poll() is None, _logs(tmp_path)
        with (
            _process(daemon, variables, tmp_path / "daemon.log"),
            dg.DagsterInstance.from_config(str(dagster_home)) as instance,
        ):
            subprocess.run(
                [
                    _DAGSTER, "job", "launch", "--workspace", workspace, "--location", "lcm",
                    "--job", "sync_days", "--tags", json.dumps(tags_for(MARCH)),
                ],
                env=variables, cwd=tmp_path, check=True, timeout=PATIENCE,
            )  # fmt: skip
            yield instance


def test_each_step_is_a_pod_and_that_of_a_lost_one_is_started_again(
    source: RunningSimulator,
    warehouse: Warehouse,
    clean: RequestCounts,
    cluster: Cluster,
    instance: dg.DagsterInstance,
    values: dict[str, Any],
    tmp_path: Path,
) -> None:
    reader = wait_for(lambda: _reader_at_work(cluster, source), lambda: _logs(tmp_path))
    reader.kill()
    [run] = wait_for(lambda: _ended_runs(instance, 1), lambda: _logs(tmp_path))
    assert run.status == dg.DagsterRunStatus.SUCCESS, _logs(tmp_path)
    assert_exact(source, warehouse, last=MARCH.last)
    repeats = repeated_readings(clean, requests_since(source))
    # Both readers may ask how a long list is paged, so of other feeds than its own nothing follows.
    assert len([feed for feed, _ in repeats if feed == "operations"]) <= _CONCURRENCY
    steps = [job.step for job in cluster.all_jobs if job.step is not None]
    assert [step for step in steps if steps.count(step) > 1] == [reader.step] * 2
    assert set(steps) >= _READERS
    assert len(cluster.all_jobs) == len(steps) + 1
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    for job in cluster.all_jobs:
        container = job.container
        assert container["image"] == _IMAGE
        assert container["resources"] == deployment["resources"]
        assert container["securityContext"] == deployment["securityContext"]
        assert job.pod_spec["securityContext"] == deployment["podSecurityContext"]
        assert job.document["spec"]["ttlSecondsAfterFinished"] == 86400
        mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
        assert {mount["mountPath"] for mount in deployment["volumeMounts"]} <= set(mounts)


def test_a_run_whose_own_pod_is_lost_is_retried_and_resumes(
    source: RunningSimulator,
    warehouse: Warehouse,
    clean: RequestCounts,
    cluster: Cluster,
    instance: dg.DagsterInstance,
    tmp_path: Path,
) -> None:
    wait_for(lambda: _reader_at_work(cluster, source), lambda: _logs(tmp_path))
    [of_run] = [job for job in cluster.all_jobs if job.step is None]
    of_run.kill()
    lost, retry = wait_for(lambda: _ended_runs(instance, 2), lambda: _logs(tmp_path))
    assert lost.status == dg.DagsterRunStatus.FAILURE
    assert (retry.parent_run_id, retry.status) == (lost.run_id, dg.DagsterRunStatus.SUCCESS)
    assert_exact(source, warehouse, last=MARCH.last)
    # The readers of the lost run go on until no client is left that nobody reads.
    repeats = repeated_readings(clean, requests_since(source))
    assert [client for feed, client in repeats if feed == "operations"] == []


def _reader_at_work(cluster: Cluster, source: RunningSimulator) -> Job | None:
    """The pod of a reader of operations, once some clients are read."""
    if source.service.traffic.counts()["by_endpoint"].get("OperationHistory", 0) < 10:
        return None
    readers = (job for job in cluster.jobs.values() if job.step in _READERS)
    return next((job for job in readers if job.process.poll() is None), None)


def _ended_runs(instance: dg.DagsterInstance, count: int) -> list[dg.DagsterRun] | None:
    """The runs, the oldest first, once the last of so many has ended."""
    records = sorted(instance.get_run_records(), key=lambda record: record.storage_id)
    if len(records) < count or not records[-1].dagster_run.is_finished:
        return None
    return [record.dagster_run for record in records]


@contextmanager
def _process(
    words: list[Any], variables: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            words, env=variables, cwd=log.parent, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _storage_url(warehouse: Warehouse) -> str:
    """A database of its own for Dagster, beside the warehouse."""
    parts = urlsplit(warehouse.url)
    return parts._replace(path=f"{parts.path}_dagster").geturl()


def _logs(tmp_path: Path) -> str:
    """What the processes printed, for the report of a failure."""
    logs = [*tmp_path.glob("*.log"), *tmp_path.glob("cluster/*.log")]
    return "\n".join(f"{log.name}: {log.read_text('utf-8')[-3000:]}" for log in logs)
