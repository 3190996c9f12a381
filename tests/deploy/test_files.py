"""Docker, compose and systemd accept the files of deploy/, which use existing parts of `lcm`."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lcm_pipeline.cli.lazy_group import load_command
from lcm_pipeline.orchestration.times import COMPLETE_BY_HOUR, SYNC_HOUR
from lcm_pipeline.settings import Settings
from tests.architecture.repository import ROOT, repository_files
from tests.waiting import PATIENCE

DEPLOY = ROOT / "deploy"
UNITS = sorted(path for path in (DEPLOY / "systemd").iterdir() if path.suffix)
_SETTING = re.compile(r"\bLCM_[A-Z_]+\b")
# Out of 10: systemd rates up to 2 as "OK", and a service without any setting has 9.6.
_MAX_EXPOSURE = 2.0


def _compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    return loaded


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint has no build for this machine")
    done = subprocess.run(
        [hadolint, DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_is_built_only_from_existing_files() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.M)
    names = {name for line in copied for name in line.split()}
    allowed = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.M)
    assert names == set(allowed)
    for name in names:
        assert list(ROOT.glob(name)), name
    assert ".env" not in {path.name for path in repository_files("deploy")}


def test_the_compose_file_follows_the_compose_specification() -> None:
    compose_spec = pytest.importorskip("compose_spec")
    options = compose_spec.PyOptions()
    options.apply_merge = True
    options.from_yaml((DEPLOY / "compose.yaml").read_text("utf-8"))


def test_each_service_has_a_health_check_its_dependencies_and_no_privileges() -> None:
    compose = _compose()
    services = compose["services"]
    assert set(services) == {"postgres", "migrate", "webserver", "daemon"}
    for name in ("postgres", "webserver", "daemon"):
        assert services[name]["healthcheck"]["test"], name
        mounted = [volume.split(":")[0] for volume in services[name]["volumes"]]
        assert all(volume in compose["volumes"] or (DEPLOY / volume).exists() for volume in mounted)
    for name in ("migrate", "webserver", "daemon"):
        service = services[name]
        load_command(service["command"][0]).make_context("lcm", service["command"][1:])
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
        for variable in service["environment"]:
            assert variable.removeprefix("LCM_").lower() in Settings.model_fields
    for name in ("webserver", "daemon"):
        test = services[name]["healthcheck"]["test"]
        load_command("ui").make_context("ui", test[3:])
        assert set(services[name]["depends_on"]) == {"migrate"}
    assert all(one.startswith("127.0.0.1:") for one in services["webserver"]["ports"])


def test_the_example_environment_has_only_known_settings_and_no_secret() -> None:
    text = (DEPLOY / "env.example").read_text("utf-8")
    names = {name.removeprefix("LCM_").lower() for name in _SETTING.findall(text)}
    assert names <= set(Settings.model_fields)
    assert re.search(r"^LCM_TOKEN=$", text, re.M)
    assert re.search(r"^POSTGRES_PASSWORD=$", text, re.M)


@pytest.fixture
def checked_units(tmp_path: Path) -> list[Path]:
    """The units with an existing program, because their own is not installed here."""
    for unit in UNITS:
        text = unit.read_text("utf-8").replace("/opt/lcm/bin/lcm", "/bin/true")
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    return [tmp_path / unit.name for unit in UNITS]


def test_systemd_accepts_the_units(checked_units: list[Path]) -> None:
    done = _analyze("verify", *map(str, checked_units))
    assert (done.returncode, done.stderr) == (0, "")


def test_the_services_are_hardened(checked_units: list[Path]) -> None:
    services = [unit for unit in checked_units if unit.suffix == ".service"]
    assert len(services) == 2
    for unit in services:
        text = unit.read_text("utf-8")
        for line in ("NoNewPrivileges=yes", "ProtectSystem=strict", "User=lcm"):
            assert line in text.splitlines()
        done = _analyze("security", "--offline=yes", str(unit))
        if "unrecognized option" in done.stderr:
            pytest.skip("this systemd cannot analyze a unit that is not installed")
        (exposure,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
        assert float(exposure) <= _MAX_EXPOSURE, done.stdout


def test_a_sync_is_tried_again_for_an_outage_of_hours_and_started_the_next_morning() -> None:
    """A unit that reached its limit within the interval is not started for its timer either."""
    text = (DEPLOY / "systemd/lcm-sync.service").read_text("utf-8")
    units = {"min": 1, "h": 60}
    pause, interval = (
        int(number) * units[unit]
        for name in ("RestartSec", "StartLimitIntervalSec")
        for number, unit in re.findall(rf"^{name}=(\d+)(min|h)$", text, re.M)
    )
    (burst,) = map(int, re.findall(r"^StartLimitBurst=(\d+)$", text, re.M))
    hours_of_retries = (COMPLETE_BY_HOUR - SYNC_HOUR) * 60
    assert hours_of_retries <= pause * (burst - 1) < interval
    # The next start of the timer is a day later, minus what it varies by and the retries take.
    assert interval + pause * burst < 24 * 60


def test_the_units_use_existing_commands_and_settings() -> None:
    for unit in UNITS:
        text = unit.read_text("utf-8")
        for words in re.findall(r"^ExecStart=/opt/lcm/bin/lcm (.+)$", text, re.M):
            name, *options = words.split()
            load_command(name).make_context(name, options)
        for name in _SETTING.findall(text):
            assert name.removeprefix("LCM_").lower() in Settings.model_fields


def _analyze(*words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run(
        [program, *words], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
