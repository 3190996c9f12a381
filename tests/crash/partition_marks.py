"""Kills a sync through Dagster around the mark that makes a day materialized."""

import os
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import dagster as dg

from lcm_pipeline.orchestration.storage.instance import dagster_instance
from lcm_pipeline.settings import load_settings
from tests.crash.commit_points import PARTITION_MARKED
from tests.crash.contents import compare, contents
from tests.crash.scenes import WINDOW, Scene, outcome_of, start_victim
from tests.crash.tallies import Line
from tests.crash.victim import Blow
from tests.crash.weapons import PROCESS
from tests.pipeline.dagster_runs import TABLES, materialized
from tests.syncing import FEEDS

# Seven assets are marked, and three moments reported for each.
MOST = 3 * len(TABLES)


def kill_at_mark(scene: Scene, nth: int, line: Line) -> list[str]:
    """Kill once and rerun; returns the problems that remain."""
    beginning = scene.beginnings[nth % 2]
    with scene.clone(beginning) as database, TemporaryDirectory() as home:
        order = replace(scene.order(database, FEEDS), through_dagster=Path(home))
        struck = outcome_of(*start_victim(replace(order, blow=_blow(nth))))
        line.strikes += struck[-1][0] == "killed"
        messages = outcome_of(*start_victim(order))
        line.reruns += 1
        wrong = [] if messages[-1][0] == "done" else [f"the rerun: {messages}"]
        lost, surplus = compare(
            scene.endings[beginning].contents, contents(scene.warehouse(database))
        )
        line.lost += len(lost)
        line.doubled += len(surplus)
        return wrong + _not_marked(Path(home)) + lost[:2] + surplus[:2]


def kill_at_marks(scene: Scene, count: int, line: Line, seed: int) -> list[str]:
    """Kill `count` times, at random moments; returns the problems."""
    chance = Random(f"marks {seed}")
    moments = [chance.randint(1, MOST) for _ in range(count)]
    return [f"mark {nth}: {one}" for nth in moments for one in kill_at_mark(scene, nth, line)]


def _blow(nth: int) -> Blow:
    return Blow("", PARTITION_MARKED, nth, PROCESS)


def _not_marked(home: Path) -> list[str]:
    """Return assets with a day that is not materialized, and runs that never ended."""
    days = {str(day) for day in WINDOW.days()}
    before = dict(os.environ)
    try:
        with dagster_instance(load_settings(home=home)) as instance:
            wrong = [
                f"{table} lacks {sorted(missing)}"
                for table in TABLES
                if (missing := days - materialized(instance, table))
            ]
            runs = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
            return wrong + [f"run {run.run_id} never ended" for run in runs]
    finally:
        os.environ.clear()
        os.environ.update(before)
