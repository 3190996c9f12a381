"""Importing much at once: the collector rests meanwhile, and always works after."""

import gc
from collections.abc import Iterator

import pytest

from lcm_pipeline.cli.imports import large_imports


@pytest.fixture(autouse=True)
def _the_collector_as_it_was() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_the_collector_rests_during_imports_and_leaves_what_they_made_alone() -> None:
    with large_imports():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_a_failed_import_leaves_the_collector_on() -> None:
    with pytest.raises(ModuleNotFoundError), large_imports():
        import no_such_library  # noqa: F401
    assert gc.isenabled()
