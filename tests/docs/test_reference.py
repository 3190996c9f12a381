"""The generated pages of docs/reference are up to date."""

import pytest

from tests.docs.reference import FOLDER, pages


@pytest.mark.parametrize("name", sorted(pages()))
def test_a_generated_page_is_current(name: str) -> None:
    written = (FOLDER / name).read_text("utf-8")
    assert written == pages()[name], "run make reference"
