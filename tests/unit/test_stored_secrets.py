"""Secrets that are drawn once and stored."""

from pathlib import Path

import pytest

from lcm_pipeline.model.errors import UsageError
from lcm_pipeline.settings.secrets import stored_secret


def test_a_secret_is_drawn_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secret = stored_secret(path)
    assert len(secret) >= 32
    assert stored_secret(path) == secret
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_empty_secret_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.touch(0o600)
    with pytest.raises(UsageError, match="is empty: remove the file"):
        stored_secret(path)
