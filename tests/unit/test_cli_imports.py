"""Importing much at once: the collector rests meanwhile, and always works after."""

import gc

import pytest

from lcm_pipeline.cli.imports import large_imports


def test_the_collector_rests_during_imports_and_leaves_what_they_made_alone() -> None:
    try:
        with large_imports():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


def test_a_failed_import_leaves_the_collector_on() -> None:
    try:
        with pytest.raises(ModuleNotFoundError), large_imports():
            import no_such_library  # noqa: F401 - it is not there
        assert gc.isenabled()
    finally:
        gc.unfreeze()
