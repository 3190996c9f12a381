"""`lcm demo` and `lcm simulate`: equal options serve the same programme again."""

import json
import re
import shlex
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from lcm_pipeline.cli.commands.simulate import (
    DEFAULT_PORT,
    moscow_today,
    programme_config,
)
from lcm_pipeline.simulator.faults import FAULTS
from lcm_pipeline.simulator.quirks import Quirks
from tests.commands import LCM, environment, run
from tests.waiting import PATIENCE

_DAYS = ("--days", "4", "--clients", "15", "--start", "2026-03-01")


@contextmanager
def _served(folder: Path, *words: str) -> Iterator[str]:
    """Run `lcm simulate` with its output in a pipe; yields the address that it prints first."""
    with subprocess.Popen(
        [LCM, "simulate", *words],
        cwd=folder, env=environment(folder), stdout=subprocess.PIPE, text=True,
    ) as serving:  # fmt: skip
        assert serving.stdout is not None
        try:
            yield serving.stdout.readline().strip()
        finally:
            serving.terminate()
            serving.wait(PATIENCE)


def _truth(url: str) -> dict[str, list[dict[str, Any]]]:
    return httpx.get(f"{url}_control/truth", trust_env=False).json()  # type: ignore[no-any-return]


def test_equal_options_serve_the_same_rows_also_a_day_later(
    tmp_path: Path,
) -> None:
    truths = []
    for today in ("2026-03-06", "2026-03-06", "2026-03-20"):
        with _served(tmp_path, "--port", "0", *_DAYS, "--today", today) as url:
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", url)
            truths.append(_truth(url))
    assert truths[0] == truths[1]
    then, now = ({(row["Client"], row["RegDate"]) for row in one["registrations"]}
                 for one in truths[1:])  # fmt: skip
    assert then < now


def test_no_row_depends_on_the_time_of_day() -> None:
    config = programme_config(start=None, today=None, days=5)
    today = moscow_today()
    assert config.now == datetime.combine(today, time())
    assert config.start == today - timedelta(days=5)


def test_help_lists_each_quirk_and_fault_on_its_own_line(tmp_path: Path) -> None:
    shown = run(tmp_path, "simulate", "--help", COLUMNS="80").stdout
    lines = [line.strip() for line in shown.splitlines()]
    for name in (*Quirks.__struct_fields__, *FAULTS):
        (line,) = [line for line in lines if line.startswith(f"- {name}: ")]
        assert len(line) > len(f"- {name}: ") + 5


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("simulate", "--start", "2026-03-02", "--today", "2026-03-01"), "is after --today"),
        (("simulate", "--today", "1.3.2026"), "is not a day"),
        (("simulate", "--today", "9999-12-31"), "is not a day of a programme"),
        (("simulate", "--days", "999999"), "expected 36500 at most"),
        (("demo", "--today", "2999-01-01"), "is in the future"),
        (("demo", "--today", "0001-01-02"), "is not a day of a programme"),
    ],
)
def test_invalid_days_exit_with_2(tmp_path: Path, words: tuple[str, ...], expected: str) -> None:
    ended = run(tmp_path, *words)
    assert ended.returncode == 2, ended.stdout
    assert expected in " ".join(ended.stderr.replace("│", " ").split())


@pytest.mark.slow
def test_the_demo_prints_how_to_serve_it_again_and_a_resync_changes_nothing(
    tmp_path: Path,
) -> None:
    with socket.socket() as other:
        # Another program listens on the demo's port, so the demo uses a free one.
        with suppress(OSError):
            other.bind(("127.0.0.1", DEFAULT_PORT))
            other.listen()
        demo = run(
            tmp_path, "demo", "--clients", "15", "--days", "3", "--today", "2026-03-04",
        )  # fmt: skip
    assert demo.returncode == 0, demo.stdout + demo.stderr
    (serve,) = re.findall(r"lcm (simulate .*)", demo.stdout)
    (settings,) = re.findall(r"(LCM_HOME=\S+ LCM_API_URL=.*) \S*lcm ui", demo.stdout)
    variables = dict(pair.split("=", 1) for pair in shlex.split(settings))
    assert variables["LCM_START_DATE"] == "2026-03-01"
    assert str(DEFAULT_PORT) not in serve
    assert f"--port {variables['LCM_API_URL'].rsplit(':', 1)[1].rstrip('/')} " in serve

    with _served(tmp_path, *shlex.split(serve)[1:]) as url:
        assert url == variables["LCM_API_URL"]
        synced = run(
            tmp_path, "sync", "--from", "2026-03-01", "--to", "2026-03-03",
            "--log-format", "json", **variables,
        )  # fmt: skip
        assert synced.returncode == 0, synced.stderr
        reports = json.loads(synced.stdout)["reports"]
        assert {one["feed"] for one in reports} == {
            "registrations", "operations", "leads", "favourites",
        }  # fmt: skip
        assert all(one["requests"] > 0 for one in reports)
        assert [(one["rows_written"], one["rows_deleted"]) for one in reports] == [(0, 0)] * 4
        verified = run(tmp_path, "verify", "--all", **variables)
        assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.slow
def test_the_demo_does_not_use_the_settings_of_the_real_programme(tmp_path: Path) -> None:
    # Steps in other processes would read from the service of .env, which nothing serves here; at
    # this rate a request takes a minute and a half.
    (tmp_path / ".env").write_text(
        "LCM_API_URL=http://127.0.0.1:9/\nLCM_EXECUTOR=multiprocess\nLCM_START_DATE=2026-03-03\n"
        "LCM_MAX_RPS=0.01\nLCM_USERNAME=north\nLCM_PASSWORD=hush\nLCM_LANGUAGE=en\n"
    )
    demo = run(tmp_path, "demo", "--clients", "10", "--days", "2", "--today", "2026-03-03")
    assert demo.returncode == 0, demo.stdout + demo.stderr
