"""A sync whose steps run on Celery: real workers, a real broker, and processes that are killed."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import dagster as dg
import pytest
import redis

from benchmarks import redis_broker
from lcm_pipeline.feeds import CLIENT_FEEDS
from lcm_pipeline.orchestration.celery import workers
from lcm_pipeline.orchestration.celery.broker import CeleryUsageError, build_app, require_broker
from lcm_pipeline.orchestration.celery.workers import NO_WORKER, declared_queue, queue_of
from lcm_pipeline.orchestration.code_location import sync_days_job
from lcm_pipeline.orchestration.partitions import tags_for
from lcm_pipeline.orchestration.storage.instance import dagster_instance
from lcm_pipeline.settings import Settings, load_settings
from lcm_pipeline.simulator.server import RunningSimulator
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.queries import migration_files
from tests.commands import environment, run, running
from tests.conftest import Programme
from tests.crash.repeats import (
    RequestCounts,
    repeated_readings,
    requests_since,
)
from tests.integration.postgres_users import tenant
from tests.oracle import assert_exact
from tests.pipeline import rabbitmq_broker
from tests.syncing import MARCH
from tests.waiting import PATIENCE, wait_for

_READERS, _SLOTS, _CONCURRENCY = 4, 2, 4
_SYNC = ("sync", "--from", str(MARCH.first), "--to", str(MARCH.last))
_CERTIFICATES = Path(__file__).parents[1] / "unit" / "certificates"

needs_redis = pytest.mark.skipif(redis_broker.MISSING, reason=redis_broker.WHY_MISSING)
needs_rabbitmq = pytest.mark.skipif(rabbitmq_broker.MISSING, reason=rabbitmq_broker.WHY_MISSING)
_BROKERS = {"redis": redis_broker.redis_broker, "rabbitmq": rabbitmq_broker.rabbitmq_broker}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("redis", marks=needs_redis),
        pytest.param("rabbitmq", marks=[needs_rabbitmq, pytest.mark.slow]),
    ],
)
def broker(request: pytest.FixtureRequest) -> Iterator[str]:
    with _BROKERS[request.param]() as url:
        yield url


@pytest.fixture
def source(programme: Programme) -> RunningSimulator:
    return programme(clients=60, quirks=["latency_ms=40"])


@pytest.fixture
def shared_settings(source: RunningSimulator, warehouse: Warehouse, broker: str) -> dict[str, str]:
    """The settings that the command and the workers share."""
    return {
        "LCM_API_URL": source.url,
        "LCM_DATABASE_URL": warehouse.url,
        "LCM_DAGSTER_DATABASE_URL": warehouse.url,
        "LCM_EXECUTOR": "celery",
        "LCM_CELERY_BROKER": broker,
        "LCM_READERS": str(_READERS),
        "LCM_CONCURRENCY": str(_CONCURRENCY),
    }


def started(
    tmp_path: Path, log: str, *words: str, **variables: str
) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """An `lcm` command in the background; the test ends it, or it is killed."""
    return running(tmp_path, *words, log=log, stop=signal.SIGKILL, **variables)


@contextmanager
def two_workers(
    tmp_path: Path, variables: dict[str, str]
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two workers, each with its own LCM_HOME, as if on two machines."""
    words = ("worker", "--slots", str(_SLOTS), "--name")
    homes = [{**variables, "LCM_HOME": str(tmp_path / name)} for name in ("one", "two")]
    with (
        started(tmp_path, "one.log", *words, "one", **homes[0]) as one,
        started(tmp_path, "two.log", *words, "two", **homes[1]) as two,
    ):
        for name in ("one", "two"):
            wait_for(lambda name=name: " ready" in _text(tmp_path / f"{name}.log"))
        yield [one, two]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _is_half_done(source: RunningSimulator, more: int = 0) -> bool:
    by_endpoint = source.service.traffic.counts()["by_endpoint"]
    return bool(by_endpoint.get("OperationHistory", 0) >= 20 + more)


def _workers_by_step(instance: dg.DagsterInstance, run_id: str) -> dict[str, list[str]]:
    """The names of the workers that started each step, in order."""
    started_by: dict[str, list[str]] = {}
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        event = entry.get_dagster_event()
        worker = event.engine_event_data.metadata.get("Celery worker")
        if worker is not None and event.step_key is not None:
            started_by.setdefault(event.step_key, []).append(str(worker.value).partition("@")[0])
    return started_by


@pytest.mark.slow
def test_the_steps_and_clients_of_a_killed_worker_are_taken_over(
    source: RunningSimulator,
    warehouse: Warehouse,
    clean: RequestCounts,
    shared_settings: dict[str, str],
    tmp_path: Path,
) -> None:
    with two_workers(tmp_path, shared_settings) as workers:
        for other, difference in (
            ({"LCM_READERS": "2"}, f"has LCM_READERS={_READERS}, not 2"),
            ({"LCM_TIMEZONE": "UTC"}, "has LCM_TIMEZONE=Europe/Moscow, not UTC"),
            ({"LCM_DAGSTER_DATABASE_URL": ""}, "has another Dagster storage"),
            ({"LCM_API_URL": "http://127.0.0.1:9/north"}, "not http://127.0.0.1:9/north"),
        ):
            refused = run(tmp_path, *_SYNC, **{**shared_settings, **other})
            assert refused.returncode == 2, refused.stderr
            assert difference in refused.stderr
        _assert_doctor_names(tmp_path, shared_settings)
        with started(tmp_path, "sync.log", *_SYNC, **shared_settings) as command:
            wait_for(lambda: _is_half_done(source))
            os.killpg(workers[0].pid, signal.SIGKILL)
            assert command.wait(PATIENCE) == 0, _text(tmp_path / "sync.log")
    assert_exact(source, warehouse, last=MARCH.last)
    # Each slot of the lost worker had up to _CONCURRENCY readings in flight.
    assert len(repeated_readings(clean, requests_since(source))) <= _SLOTS * _CONCURRENCY
    settings = load_settings(home=tmp_path / "home", dagster_database_url=warehouse.url)
    with dagster_instance(settings) as instance:
        [sync] = instance.get_runs()
        assert sync.status == dg.DagsterRunStatus.SUCCESS
        workers_of = _workers_by_step(instance, sync.run_id)
    assert len([step for step in workers_of if "_read_" in step]) == _READERS * len(CLIENT_FEEDS)
    # Steps that the lost worker had started were started again by the other one.
    assert ["one", "two"] in workers_of.values()


@pytest.mark.slow
def test_ctrl_c_in_the_terminal_of_a_worker_lets_its_steps_end(
    source: RunningSimulator,
    warehouse: Warehouse,
    clean: RequestCounts,
    shared_settings: dict[str, str],
    tmp_path: Path,
) -> None:
    with (
        two_workers(tmp_path, shared_settings) as workers,
        started(tmp_path, "sync.log", *_SYNC, **shared_settings) as command,
    ):
        wait_for(lambda: _is_half_done(source))
        # A terminal sends it to the whole group, so to the processes of the slots too.
        os.killpg(workers[0].pid, signal.SIGINT)
        assert command.wait(PATIENCE) == 0, _text(tmp_path / "sync.log")
        assert workers[0].wait(PATIENCE) == 0
    assert "Warm shutdown" in _text(tmp_path / "one.log")
    assert_exact(source, warehouse, last=MARCH.last)
    assert not repeated_readings(clean, requests_since(source))


@pytest.mark.slow
@pytest.mark.parametrize("broker", [pytest.param("redis", marks=needs_redis)], indirect=True)
def test_workers_whose_clocks_differ_do_not_run_the_steps_of_each_other_again(
    source: RunningSimulator, warehouse: Warehouse, shared_settings: dict[str, str], tmp_path: Path
) -> None:
    words = ("worker", "--slots", str(_SLOTS), "--name")
    with ExitStack() as workers:
        for name, hours in (("ahead", 1), ("behind", -1)):
            # Python runs it as it starts, before a library takes the clock.
            start_up = tmp_path / name / "sitecustomize.py"
            start_up.parent.mkdir()
            start_up.write_text(
                f"import time\nread = time.time\ntime.time = lambda: read() + {hours * 3600}\n"
            )
            paths = (str(start_up.parent), os.environ.get("PYTHONPATH"))
            own = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "LCM_HOME": str(tmp_path)}
            workers.enter_context(
                started(tmp_path, f"{name}.log", *words, name, **{**shared_settings, **own})
            )
        for name in ("ahead", "behind"):
            wait_for(lambda name=name: " ready" in _text(tmp_path / f"{name}.log"))
        # Steps longer than the interval at which lost messages are looked for.
        desk = source.service.desk
        desk.quirks = type(desk.quirks)(latency_ms=600)
        ended = run(tmp_path, *_SYNC, **shared_settings)
    assert ended.returncode == 0, ended.stderr
    assert_exact(source, warehouse, last=MARCH.last)
    settings = load_settings(home=tmp_path / "home", dagster_database_url=warehouse.url)
    with dagster_instance(settings) as instance:
        [sync] = instance.get_runs()
        workers_of = _workers_by_step(instance, sync.run_id)
    assert {name for names in workers_of.values() for name in names} == {"ahead", "behind"}
    assert {step for step, names in workers_of.items() if len(names) > 1} == set()


@pytest.mark.slow
@pytest.mark.parametrize("broker", [pytest.param("redis", marks=needs_redis)], indirect=True)
def test_a_redis_that_comes_back_without_its_queue_ends_the_command_and_no_worker(
    source: RunningSimulator,
    warehouse: Warehouse,
    clean: RequestCounts,
    shared_settings: dict[str, str],
    broker: str,
    tmp_path: Path,
) -> None:
    with two_workers(tmp_path, shared_settings) as workers:
        with started(tmp_path, "sync.log", *_SYNC, **shared_settings) as command:
            wait_for(lambda: _is_half_done(source))
            # As after a restart without persistence that is over before a client notices.
            with redis.Redis.from_url(broker) as client:
                client.flushall()
                for kind in ("normal", "pubsub"):
                    client.client_kill_filter(_type=kind, skipme=True)
            ended = command.wait(PATIENCE)
        said = _text(tmp_path / "sync.log")
        assert ended == 1, said
        # The latter where a command was waiting for a response as its connection was closed.
        assert re.search(r"the broker (has lost the steps in its queue|\S+ was lost)", said), said
        assert "when it runs, sync the same days again" in said
        assert "run the same command again to go on" in said
        assert "Traceback" not in said
        again = run(tmp_path, *_SYNC, **shared_settings)
        assert again.returncode == 0, again.stderr
        for worker, name in zip(workers, ("one", "two"), strict=True):
            assert worker.poll() is None
            assert "Traceback" not in _text(tmp_path / f"{name}.log")
    assert_exact(source, warehouse, last=MARCH.last)
    assert len(repeated_readings(clean, requests_since(source))) <= 2 * _SLOTS * _CONCURRENCY


def _assert_doctor_names(tmp_path: Path, variables: dict[str, str]) -> None:
    """Check that `lcm doctor` reports a reachable broker and the workers that respond."""
    lines = _doctor(tmp_path, variables)
    assert lines["executor"] == ("ok", f"celery, {_READERS} readers of a feed", "")
    assert lines["broker"][0] == "ok"
    assert "guest" not in lines["broker"][1]
    state, found, _ = lines["workers"]
    assert (state, found[:13]) == ("ok", "responding: 2")
    assert "one@" in found
    assert "two@" in found
    state, found, advice = _doctor(tmp_path, {**variables, "LCM_READERS": "2"})["workers"]
    assert (state, advice[:15]) == ("fail", "give all the sa")


def _doctor(tmp_path: Path, variables: dict[str, str]) -> dict[str, tuple[str, str, str]]:
    # Without the service, because its requests are counted.
    without = {**variables, "LCM_API_URL": ""}
    ended = run(tmp_path, "doctor", "--json", **without)
    findings = json.loads(ended.stdout)["findings"]
    return {one["name"]: (one["state"], one["found"], one["advice"]) for one in findings}


def test_a_worker_with_other_migrations_differs_although_its_version_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(home=tmp_path)
    *older, newest = migration_files()
    with monkeypatch.context() as patch:
        patch.setattr(workers, "migration_files", lambda: older)
        reported = workers.worker_config(settings, "queue", "storage")
    worker = workers.WorkerSummary("old", alike=reported["lcm_alike"])
    assert workers.differing_settings(settings, worker) == (
        f"newest migration={older[-1].stem}, not {newest.stem}"
    )


@pytest.mark.slow
@needs_redis
def test_doctor_reports_what_the_executor_lacks(tmp_path: Path) -> None:
    celery = {"LCM_EXECUTOR": "celery", "LCM_CELERY_BROKER": "redis://127.0.0.1:1/0"}
    state, found, _ = _doctor(tmp_path, celery)["broker"]
    assert (state, "redis://127.0.0.1:1 cannot be reached" in found) == ("fail", True)
    with redis_broker.redis_broker() as url:
        lines = _doctor(tmp_path, {**celery, "LCM_CELERY_BROKER": url})
    assert lines["broker"][0] == "ok"
    state, _, advice = lines["workers"]
    assert (state, "lcm worker" in advice) == ("warn", True)
    state, found, advice = _doctor(tmp_path, {"LCM_READERS": "4"})["executor"]
    assert (state, "LCM_EXECUTOR" in advice) == ("warn", True)
    assert _doctor(tmp_path, {"LCM_EXECUTOR": "k8s"})["cluster"][0] == "warn"


@pytest.mark.slow
@needs_redis
def test_the_certificate_of_a_broker_is_verified_unless_the_address_disables_it(
    tmp_path: Path,
) -> None:
    with redis_broker.redis_broker(_CERTIFICATES / "localhost.with_key.pem") as url:
        ended = run(tmp_path, "worker", LCM_CELERY_BROKER=url)
        assert ended.returncode == 2, ended.stderr
        assert "CERTIFICATE_VERIFY_FAILED" in ended.stderr
        authority = _CERTIFICATES / "localhost.pem"
        for address in (f"{url}?ssl_ca_certs={authority}", f"{url}?ssl_cert_reqs=none"):
            settings = load_settings(home=tmp_path / "home", celery_broker=address)
            require_broker(settings)


@needs_redis
def test_a_redis_without_tls_is_reported_and_not_awaited(tmp_path: Path) -> None:
    with redis_broker.redis_broker() as url:
        settings = load_settings(
            home=tmp_path / "home", celery_broker=url.replace("redis://", "rediss://")
        )
        with pytest.raises(CeleryUsageError, match="cannot be reached"):
            require_broker(settings)


@pytest.mark.slow
@pytest.mark.parametrize("broker", [pytest.param("rabbitmq", marks=needs_rabbitmq)], indirect=True)
@pytest.mark.parametrize(
    ("right", "wrong", "reason"),
    [("guest:guest", "guest:hush", "ACCESS_REFUSED"), ("//", "/none", "vhost none not found")],
)
def test_a_rabbitmq_that_refuses_us_is_reported(
    broker: str, right: str, wrong: str, reason: str, tmp_path: Path
) -> None:
    start, _, end = broker.rpartition(right)
    settings = load_settings(home=tmp_path / "home", celery_broker=f"{start}{wrong}{end}")
    with pytest.raises(CeleryUsageError, match=reason) as caught:
        require_broker(settings)
    assert "hush" not in str(caught.value)


@pytest.mark.slow
def test_a_stopped_or_killed_command_is_resumed_when_called_again(
    source: RunningSimulator,
    warehouse: Warehouse,
    clean: RequestCounts,
    shared_settings: dict[str, str],
    tmp_path: Path,
) -> None:
    with two_workers(tmp_path, shared_settings):
        with started(tmp_path, "stopped.log", *_SYNC, **shared_settings) as command:
            wait_for(lambda: _is_half_done(source))
            # Ctrl-C interrupts the steps that have started.
            command.send_signal(signal.SIGINT)
            assert command.wait(PATIENCE) == 130
        with started(tmp_path, "killed.log", *_SYNC, **shared_settings) as command:
            wait_for(lambda: _is_half_done(source, more=30))
            os.killpg(command.pid, signal.SIGKILL)
        again = run(tmp_path, *_SYNC, **shared_settings)
        assert again.returncode == 0, again.stderr
    assert_exact(source, warehouse, last=MARCH.last)
    # At most once per slot: no reader was lost with the killed command.
    assert len(repeated_readings(clean, requests_since(source))) <= 2 * _SLOTS * _CONCURRENCY
    settings = load_settings(home=tmp_path / "home", dagster_database_url=warehouse.url)
    with dagster_instance(settings) as instance:
        statuses = [one.status for one in instance.get_runs()]
    assert statuses[:2] == [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]


@pytest.mark.slow
def test_a_command_without_workers_can_be_stopped_and_leaves_no_steps(
    source: RunningSimulator, warehouse: Warehouse, shared_settings: dict[str, str], tmp_path: Path
) -> None:
    with started(tmp_path, "waits.log", *_SYNC, **shared_settings) as waits:
        wait_for(lambda: "no worker of this warehouse" in _text(tmp_path / "waits.log"))
        settings = load_settings(
            celery_broker=shared_settings["LCM_CELERY_BROKER"], database_url=warehouse.url
        )
        wait_for(lambda: _queued_steps(settings) > 0)
        waits.send_signal(signal.SIGTERM)
        assert waits.wait(PATIENCE) == 130
    assert _queued_steps(settings) == 0
    assert requests_since(source) == {}
    settings = load_settings(home=tmp_path / "home", dagster_database_url=warehouse.url)
    with dagster_instance(settings) as instance:
        # A run that the daemon starts has no command that could report it.
        [stopped] = instance.get_runs()
        assert NO_WORKER in [entry.user_message for entry in instance.all_logs(stopped.run_id)]


@pytest.mark.slow
def test_a_run_of_the_daemon_names_a_broker_that_is_away(
    source: RunningSimulator,
    warehouse: Warehouse,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (
        ("LCM_API_URL", source.url),
        ("LCM_DATABASE_URL", warehouse.url),
        ("LCM_EXECUTOR", "celery"),
        ("LCM_CELERY_BROKER", "redis://127.0.0.1:1/0"),
    ):
        monkeypatch.setenv(name, value)
    with dagster_instance(load_settings()) as instance:
        result = dg.execute_job(
            dg.reconstructable(sync_days_job), instance=instance, tags=tags_for(MARCH)
        )
    [failure] = [one for one in result.all_events if one.is_job_failure]
    error = failure.job_failure_data.error
    assert error is not None
    assert error.cls_name == CeleryUsageError.__name__
    assert "the broker redis://127.0.0.1:1 cannot be reached" in error.message
    assert "start it, or correct LCM_CELERY_BROKER" in error.message


def _queued_steps(settings: Settings) -> int:
    """How many steps wait in the queue of the warehouse."""
    with build_app(settings).connection_for_read() as connection:
        queue = declared_queue(queue_of(settings))(connection.default_channel)
        return int(queue.queue_declare().message_count)


@pytest.mark.slow
def test_two_programmes_on_one_broker_do_not_meet(
    programme: Programme, postgres: str, template: str, broker: str, tmp_path: Path
) -> None:
    """Each warehouse has a queue of its own, so a worker takes no step of the other programme."""
    with ExitStack() as stack:
        commands, expected = [], []
        for number in (1, 2):
            source = programme(clients=20 * number, seed=number)
            url = stack.enter_context(tenant(postgres)).url
            variables = {
                "LCM_API_URL": source.url,
                "LCM_DATABASE_URL": url,
                "LCM_DAGSTER_DATABASE_URL": url,
                "LCM_EXECUTOR": "celery",
                "LCM_CELERY_BROKER": broker,
                "LCM_READERS": "2",
                "LCM_HOME": str(tmp_path / f"home_{number}"),
            }
            words = ("worker", "--slots", "1", "--name", f"worker-{number}")
            log = f"worker_{number}.log"
            stack.enter_context(started(tmp_path, log, *words, **variables))
            wait_for(lambda log=log: " ready" in _text(tmp_path / log))
            commands.append((f"sync_{number}.log", variables))
            expected.append((source, url))
        processes = [
            stack.enter_context(started(tmp_path, log, *_SYNC, **variables))
            for log, variables in commands
        ]
        for (log, _), process in zip(commands, processes, strict=True):
            assert process.wait(PATIENCE) == 0, _text(tmp_path / log)
        for source, url in expected:
            assert_exact(source, Warehouse(url), last=MARCH.last)


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "LCM_CELERY_BROKER is not set"),
        ({"LCM_CELERY_BROKER": "http://127.0.0.1/"}, "expected redis://"),
        ({"LCM_CELERY_BROKER": "redis://127.0.0.1:1/notanumber"}, "expected redis://"),
        ({"LCM_CELERY_BROKER": "redis://127.0.0.1:1/0\nx"}, "expected redis://"),
        ({"LCM_CELERY_BROKER": "redis://127.0.0.1:1/0"}, "redis://127.0.0.1:1 cannot be reached"),
        ({"LCM_CELERY_BROKER": "amqp://u:hush@127.0.0.1:1//"}, "amqp://127.0.0.1:1 cannot be"),
        ({"LCM_CELERY_BROKER": "redis://10.1.2.3/0"}, "LCM_DATABASE_URL is not set"),
        (
            {
                "LCM_CELERY_BROKER": "redis://10.1.2.3/0",
                "LCM_DATABASE_URL": "postgresql://10.1.2.3/loyalty",
            },
            "LCM_DAGSTER_DATABASE_URL is not set",
        ),
    ],
)
def test_a_worker_reports_what_it_lacks(
    variables: dict[str, str], message: str, tmp_path: Path
) -> None:
    ended = run(tmp_path, "worker", **variables)
    assert ended.returncode == 2, ended.stderr
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "hush" not in ended.stderr


@pytest.mark.sampled(1)
@pytest.mark.parametrize("words", [("worker",), (*_SYNC,)])
def test_the_error_for_a_missing_extra_names_it(
    words: tuple[str, ...], warehouse: Warehouse, tmp_path: Path
) -> None:
    program = (
        "import sys; sys.modules['dagster_celery'] = None;"
        f"sys.argv = ['lcm', *{list(words)!r}]; from lcm_pipeline.cli import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(
            tmp_path,
            LCM_EXECUTOR="celery",
            LCM_CELERY_BROKER="redis://127.0.0.1:1/0",
            LCM_API_URL="http://127.0.0.1:1/",
            LCM_DATABASE_URL=warehouse.url,
        ),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert "pip install 'lcm_pipeline[celery]'" in ended.stderr
    assert "Traceback" not in ended.stderr
