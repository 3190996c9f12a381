"""The write-back through Dagster: the job and its counts, the check, and the sensor."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lcm_pipeline.definitions import defs
from lcm_pipeline.orchestration.code_location import build_definitions
from lcm_pipeline.orchestration.resources import POOL, SyncResource
from lcm_pipeline.orchestration.sensors import reason_to_wait
from lcm_pipeline.orchestration.storage.instance import dagster_instance
from lcm_pipeline.settings import Settings
from lcm_pipeline.simulator import profiles
from lcm_pipeline.simulator.faults import FaultRule
from lcm_pipeline.sync.engine import SyncEngine
from lcm_pipeline.warehouse.connection import Warehouse
from lcm_pipeline.warehouse.outbox.state import OutboxState, read_outbox
from tests.conftest import MakeSettings, Programme
from tests.outbox import ask_for, enrol, outbox, profile

OUTBOX = dg.AssetKey("profile_updates")
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def push(
    settings: Settings,
    warehouse: Warehouse,
    instance: dg.DagsterInstance,
    *,
    confirm: int | None = None,
    tags: dict[str, str] | None = None,
) -> Any:
    """Run the job. confirm: the id to confirm; the newest one if None."""
    state = read_outbox(warehouse)
    assert state is not None
    given = state.newest_id if confirm is None else confirm
    config = {**QUIET, "ops": {"send_profile_updates": {"config": {"confirm": given}}}}
    job = build_definitions(SyncResource(SyncEngine(settings, warehouse))).resolve_job_def(
        "push_profiles"
    )
    return job.execute_in_process(
        run_config=config, instance=instance, raise_on_error=False, tags=tags
    )


def metadata_of(instance: dg.DagsterInstance) -> dict[str, Any]:
    event = instance.get_latest_materialization_event(OUTBOX)
    assert event is not None
    assert event.asset_materialization is not None
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def checked(result: Any) -> list[bool]:
    return [one.passed for one in result.get_asset_check_evaluations()]


def test_the_job_sends_pending_updates_and_reports_counts_by_status(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=10)
    clients = enrol(warehouse, source)
    ask_for(warehouse, [(client, {"name": "Анна"}) for client in (*clients[:3], 424242)])
    with dg.DagsterInstance.ephemeral() as instance:
        result = push(make_settings(source, warehouse), warehouse, instance)
        assert result.success
        counts = metadata_of(instance)
    assert profile(source, clients[0])["Name"] == "Анна"
    assert (counts["sent"], counts["rejected"], counts["requests"]) == (3, 1, 3)
    assert checked(result) == [True]


def test_an_unconfirmed_run_sends_nothing_and_says_what_to_confirm(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=5)
    settings = make_settings(source, warehouse)
    clients = enrol(warehouse, source)
    ask_for(warehouse, [(client, {"name": "Анна"}) for client in clients[:2]])
    by_sensor = {"dagster/sensor_name": "profile_updates_pending"}
    with dg.DagsterInstance.ephemeral() as instance:
        for confirm, tags in ((0, None), (1, None), (0, by_sensor), (3, by_sensor)):
            result = push(settings, warehouse, instance, confirm=confirm, tags=tags)
            assert not result.success
            (failure,) = (event for event in result.all_events if event.is_step_failure)
            assert "confirm: 2" in str(failure.step_failure_data.error)
        assert not [row for row in outbox(warehouse) if row["status"] != "pending"]
        # Newer updates may have arrived since the sensor requested its run.
        assert push(settings, warehouse, instance, confirm=1, tags=by_sensor).success
    assert profile(source, clients[0])["Name"] == "Анна"


def test_a_stopped_push_fails_the_run_and_still_reports_its_counts(
    programme: Programme, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    source = programme(clients=10)
    clients = enrol(warehouse, source)
    ask_for(warehouse, [(client, {"name": "Анна"}) for client in clients])
    source.service.faults.set((FaultRule(kind="message_half_rows", endpoint="ClientUpdate"),))
    with dg.DagsterInstance.ephemeral() as instance:
        result = push(make_settings(source, warehouse, push_canary=2), warehouse, instance)
        assert not result.success
        assert metadata_of(instance)["partial"] == 2
        assert "of the first 2 updates failed" in metadata_of(instance)["stopped"]


def test_the_check_finds_updates_that_are_stuck(warehouse: Warehouse) -> None:
    def evaluate() -> dg.AssetCheckResult:
        session = SyncResource(SyncEngine(Settings(), warehouse))
        check = next(one for one in build_definitions(session).asset_checks or ()
                     if "no_update_is_stuck" in one.node_def.name)  # fmt: skip
        result = dg.materialize([check], resources={"sync": session}, instance=instance,
                                selection=dg.AssetSelection.all_asset_checks(),
                                run_config=QUIET)  # fmt: skip
        (evaluation,) = result.get_asset_check_evaluations()
        return evaluation

    with dg.DagsterInstance.ephemeral() as instance:
        assert evaluate().passed
        (update,) = ask_for(warehouse, [(1, {"name": "Анна"})])
        with warehouse.connect() as session:
            session.execute("update outbox.profile_updates set status = 'sending'")
        found = evaluate()
        assert not found.passed
        assert found.severity == dg.AssetCheckSeverity.WARN
        assert "1 update in sending" in (found.description or "")
    assert update == 1


STATE = OutboxState(
    waiting=3, sending=0, newest_id=9, is_pushing=False, last_push_id=4, last_status="done",
    last_update_id=5, seconds_since=10.0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, None),
        ({"last_push_id": None, "last_status": None, "seconds_since": None}, None),
        ({"waiting": 0}, "nothing is pending"),
        ({"is_pushing": True}, "a push is running"),
        ({"last_status": "stopped"}, "by hand"),
        ({"last_update_id": 9}, "wait for their next attempt"),
        ({"last_update_id": 9, "seconds_since": 901.0}, None),
        ({"last_status": "died"}, None),
    ],
)
def test_the_sensor_requests_runs_for_new_updates_and_respects_a_stopped_push(
    changes: dict[str, Any], message: str | None
) -> None:
    reason = reason_to_wait(replace(STATE, **changes))
    assert (reason is None) if message is None else (message in (reason or ""))


def test_the_sensor_requests_a_run_when_updates_are_pending(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LCM_DATABASE_URL", warehouse.url)
    sensor = defs.resolve_sensor_def("profile_updates_pending")

    def evaluate() -> dg.SensorResult | Any:
        with dg.DagsterInstance.ephemeral() as instance:
            return sensor.evaluate_tick(dg.build_sensor_context(instance=instance))

    assert evaluate().skip_message == "nothing is pending"
    ask_for(warehouse, [(1, {"name": "Анна"})])
    (request,) = evaluate().run_requests
    assert request.run_key.startswith("1-0-")
    assert request.run_config["ops"]["send_profile_updates"]["config"] == {"confirm": 1}
    assert sensor.job_name == "push_profiles"


def test_the_push_uses_the_pool_of_the_syncs() -> None:
    job = defs.resolve_job_def("push_profiles")
    assert job.graph.node_dict["send_profile_updates"].definition.pools == {POOL}


def test_no_personal_data_gets_into_dagster_or_errors(
    programme: Programme,
    warehouse: Warehouse,
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    """The messages of the service quote everything that was sent, as a real service may."""
    name, surname, email, phone = "Евлампия", "кукушкина", "evl@example.org", 9031112233
    quoting = f"{name} {surname.title()} {surname} {email} +7 903 111-22-33 {phone} занято"
    for constant in ("EMAIL_TAKEN", "PHONE_TAKEN"):
        monkeypatch.setattr(profiles, constant, quoting)
    source = programme(clients=10)
    clients = enrol(warehouse, source)
    owner = source.world.programme.customers[clients[9]]
    source.world.programme.by_email[email] = owner
    source.world.programme.by_phone[phone] = owner
    fields = {"name": name, "surname": surname}
    ask_for(
        warehouse,
        [
            (clients[0], {**fields, "email": email}),
            (clients[1], {**fields, "phone": phone}),
            (clients[2], {**fields, "name": name * 5, "email": email + "@"}),
            (clients[3], fields),
        ],
    )
    source.service.faults.set(
        (FaultRule(kind="too_many_requests", client=clients[3], nth=1, retry_after="0"),)
    )
    settings = make_settings(source, warehouse, home=tmp_path / "dagster-home", push_canary=0)
    caplog.set_level("DEBUG", logger="lcm_pipeline")
    with dagster_instance(settings) as instance:
        assert push(settings, warehouse, instance).success
    statuses = [row["status"] for row in outbox(warehouse)]
    assert statuses == ["partial", "failed", "rejected", "sent"]
    errors = [row["last_error"] for row in outbox(warehouse)]
    errors += [row["error"] for row in outbox(warehouse, "attempts")]
    files = [path for path in (tmp_path / "dagster-home").rglob("*") if path.is_file()]
    stored = b"".join(path.read_bytes() for path in files).decode("utf-8", "replace")
    assert "no_update_is_stuck" in stored
    assert "HTTP 429" in caplog.text
    outputs = {"log": caplog.text, "errors": str(errors), "dagster": stored}
    for output, text in outputs.items():
        for planted in (name, surname, surname.title(), email, str(phone), "111-22-33"):
            escaped = planted.encode("unicode_escape").decode()
            assert planted not in text, f"{planted} in {output}"
            assert planted.isascii() or escaped not in text, f"{planted} in {output}"
