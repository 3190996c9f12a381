"""Replacing a file; the end of a log, as messages quote it and `lcm logs --server` prints it."""

from pathlib import Path

import pytest

from lcm_pipeline.files import end_of_log, replacing
from lcm_pipeline.warehouse.embedded.folder import ServerFolder


@pytest.mark.parametrize("most", [1, 12, 1_500, 5_000])
@pytest.mark.parametrize("ending", ["", "\n"])
def test_the_end_of_a_log_has_whole_lines_as_many_as_requested(
    tmp_path: Path, most: int, ending: str
) -> None:
    lines = [f"line {number} {'x' * 80}" for number in range(2_000)]
    path = tmp_path / "some.log"
    path.write_text("\n".join(lines) + ending, encoding="utf-8")
    with path.open("rb") as log:
        assert end_of_log(log, most).splitlines() == lines[-most:]


def test_an_empty_log_has_no_end(tmp_path: Path) -> None:
    path = tmp_path / "empty.log"
    path.touch()
    with path.open("rb") as log:
        assert end_of_log(log) == ""


def test_the_end_of_the_logs_of_a_server_is_that_of_its_newest_log(tmp_path: Path) -> None:
    folder = ServerFolder(tmp_path)
    assert folder.end_of_logs() == ""
    folder.log_folder.mkdir(parents=True)
    folder.supervisor_log.write_text("started\n", encoding="utf-8")
    folder.start_log.touch()
    (folder.log_folder / "server-20260301-000000.log").write_text("yesterday\n", encoding="utf-8")
    lines = [f"{number} {'x' * 80}" for number in range(500)]
    (folder.log_folder / "server-20260302-000000.log").write_text("\n".join(lines), "utf-8")
    assert folder.end_of_logs(501).splitlines() == ["started", *lines]
    assert folder.end_of_logs(400).splitlines() == lines[-400:]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("the page of yesterday")
    with pytest.raises(OSError, match="disk full"), replacing(path) as file:
        file.write(b"half a page")
        raise OSError("disk full")
    assert path.read_text() == "the page of yesterday"
    with replacing(path) as file:
        file.write(b"the page of today")
        assert path.read_text() == "the page of yesterday"
    assert path.read_text() == "the page of today"
    assert list(tmp_path.iterdir()) == [path]


def test_the_error_of_a_file_that_cannot_be_replaced_names_it(tmp_path: Path) -> None:
    in_the_way, missing = tmp_path / "folder", tmp_path / "nowhere" / "page.html"
    in_the_way.mkdir()
    for path in (in_the_way, missing):
        with pytest.raises(OSError, match="directory") as failed, replacing(path):
            pass
        assert failed.value.filename == str(path)
