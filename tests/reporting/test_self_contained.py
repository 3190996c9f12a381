"""The page is self-contained, has no personal data, and opens without a network."""

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.marts.worlds import Synced
from tests.reporting.reading_pages import Page
from tests.waiting import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
_LOADING = ("src", "href", "srcset", "data", "poster", "action", "background", "xlink:href")
_MAX_BYTES = 1_000_000


def test_the_page_loads_nothing(page_of_chance: Page) -> None:
    root = page_of_chance.root
    loaded = [
        value
        for element in root.iter("*")
        for name, value in element.attrib.items()
        if name in _LOADING and not value.startswith(("data:", "#"))
    ]
    assert loaded == []
    assert root.xpath("//script | //iframe | //object | //embed | //base") == []
    assert not re.search(r"url\(|@import|@font-face", page_of_chance.text)
    # The only addresses are the XML namespaces of SVG.
    addresses = set(re.findall(r"https?://[^\s\"'<>]+", page_of_chance.text))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_the_page_forbids_itself_to_load_anything(page_of_chance: Page) -> None:
    (policy,) = page_of_chance.root.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    assert policy.startswith("default-src 'none'")


def test_the_page_is_small_enough_to_mail(page_of_chance: Page) -> None:
    assert len(page_of_chance.text.encode()) < _MAX_BYTES


def test_no_phone_and_no_card_is_on_the_page(by_chance: Synced, page_of_chance: Page) -> None:
    digits = re.sub(r"(?<=\d)[\s\u00a0\u202f]+(?=\d)", "", page_of_chance.text)
    cards = {str(row["Card"]) for row in by_chance.truth["registrations"]}
    profiles = by_chance.simulator.world.profile_rows()
    phones = {str(row["Phone"])[-10:] for row in profiles if row.get("Phone")}
    assert cards
    assert phones
    assert [secret for secret in cards | phones if secret in digits] == []
    names = {row[field] for row in profiles for field in ("Surname", "EMail") if row.get(field)}
    assert names
    assert [name for name in names if re.search(rf"\b{re.escape(name)}\b", digits)] == []


def test_the_page_is_accessible(page_of_chance: Page) -> None:
    root = page_of_chance.root
    assert root.get("lang") == "en"
    assert len(root.xpath("//h1")) == 1
    assert root.xpath("//svg")
    for drawing in root.xpath("//svg"):
        described = drawing.getparent()
        assert (described.get("role"), bool(described.get("aria-label"))) == ("img", True)
    ids = Counter(root.xpath("//@id"))
    assert [name for name, count in ids.items() if count > 1] == []


def test_reports_query_only_the_marts() -> None:
    for path in sorted((ROOT / "sql" / "reports").glob("*.sql")):
        text = path.read_text()
        assert text.startswith("-- purpose: "), path.name
        schemas = re.findall(r"\b(?:from|join)\s+(\w+)\.\w+", text)
        assert set(schemas) <= {"mart", "pg_catalog"}, path.name
        code = "".join(p.read_text() for p in (ROOT / "lcm_pipeline" / "reporting").glob("*.py"))
        assert f'"{path.stem}"' in code, path.name


def test_a_browser_without_a_network_shows_the_page_without_errors(
    page_of_chance: Page, tmp_path: Path
) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium here: install it to see the page in a browser")
    file, picture = tmp_path / "report.html", tmp_path / "report.png"
    file.write_text(page_of_chance.text, encoding="utf-8")
    shown = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
            "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}",
            "--window-size=1040,1200", f"--screenshot={picture}", file.as_uri(),
        ],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert picture.stat().st_size > 20_000
    assert [line for line in shown.stderr.splitlines() if "CONSOLE" in line] == []
