"""Opens a dashboard as a person does, until every chart stands, and notes all that went wrong."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

from playwright.sync_api import Browser, ConsoleMessage, Page, Response

from tests.browser.serving import Served

WIDTH, HEIGHT = 1440, 1000
_DATA = "/api/v1/chart/data"
_CHART = ".dashboard-component-chart-holder"
_STANDS = f"""() => {{
    const charts = [...document.querySelectorAll('{_CHART}')];
    const ended = '.slice_container, .ant-alert-error, [data-test="error-alert"], .ant-empty';
    return charts.length > 0
        && charts.every(chart => chart.querySelector(ended) && !chart.querySelector('.loading'));
}}"""
# Superset asks a third party to count its users; our settings forbid it, and the browser says so.
_EXPECTED = "scarf.sh"


@dataclass
class Look:
    """What one look at a dashboard saw. queries: the SQL of each chart, by its title."""

    titles: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    queries: dict[str, str] = field(default_factory=dict)
    answers: list[Response] = field(default_factory=list)

    def note_answer(self, response: Response) -> None:
        """Keep what charts were answered, and whatever was refused."""
        if _DATA in response.url or response.status >= HTTPStatus.BAD_REQUEST:
            self.answers.append(response)

    def read_answers(self, titles: dict[int, str]) -> None:
        """Tell the queries of the charts, whose titles are given by id, and the refusals."""
        for answer in self.answers:
            if answer.status >= HTTPStatus.BAD_REQUEST:
                self.failures.append(f"{answer.status} {answer.url}: {answer.text()[:300]}")
                continue
            asked = json.loads(answer.request.post_data or "{}").get("form_data", {})
            if title := titles.get(asked.get("slice_id")):
                self.queries[title] = answer.json()["result"][0]["query"]

    def note_console(self, message: ConsoleMessage) -> None:
        """Errors of the page itself."""
        if message.type == "error" and _EXPECTED not in message.text:
            self.failures.append(f"console: {message.text[:300]}")


@contextmanager
def logged_in(browser: Browser, served: Served) -> Iterator[Page]:
    """A page of somebody who has logged in."""
    context = browser.new_context(
        base_url=served.url, viewport={"width": WIDTH, "height": HEIGHT}, locale="en-GB"
    )
    page = context.new_page()
    page.goto("/login/")
    # The form is the page's script's: what is typed before it runs is lost.
    page.wait_for_load_state("networkidle")
    page.locator("input[name=username], #username").fill("admin")
    page.locator("input[name=password], #password").fill(served.password)
    page.keyboard.press("Enter")
    page.wait_for_url("**/superset/welcome/**")
    yield page
    context.close()


def look_at(page: Page, slug: str) -> Look:
    """Open a dashboard, tall enough that all of its charts load, and wait for them."""
    look = Look()
    page.on("response", look.note_answer)
    page.on("console", look.note_console)
    page.goto(f"/superset/dashboard/{slug}/")
    page.wait_for_selector(_CHART, timeout=60_000)
    tall = page.evaluate("document.querySelector('.grid-content').scrollHeight")
    page.set_viewport_size({"width": WIDTH, "height": int(tall) + 250})
    page.wait_for_function(_STANDS, timeout=90_000)
    page.wait_for_load_state("networkidle")
    page.remove_listener("response", look.note_answer)
    page.remove_listener("console", look.note_console)
    titles: dict[int, str] = {}
    for chart in page.locator(_CHART).all():
        title = chart.locator(".header-title").inner_text().strip()
        number = re.search(r"chart-id-(\d+)", chart.evaluate("e => e.outerHTML"))
        assert number, title
        titles[int(number[1])] = title
        for alert in chart.locator(".ant-alert-error, [data-test='error-alert']").all():
            look.failures.append(f"{title}: {alert.inner_text()[:300]}")
        if chart.locator(".ant-empty").count() or "No data" in chart.inner_text():
            look.empty.append(title)
    look.titles = list(titles.values())
    look.read_answers(titles)
    return look
