"""Opens a dashboard as a person does, waits for every chart, and records everything wrong."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

from playwright.sync_api import Browser, ConsoleMessage, Page, Response

from tests.browser.serving import Served
from tests.waiting import PATIENCE

WIDTH, HEIGHT = 1440, 1000
_DATA = "/api/v1/chart/data"
_HOLDER = ".dashboard-component-chart-holder"
# Notes have the same holder as charts.
_CHART = f"{_HOLDER}:not(.dashboard-markdown {_HOLDER})"
_ALL_RENDERED = f"""() => {{
    const charts = [...document.querySelectorAll('{_CHART}')];
    const ended = '.slice_container, .ant-alert-error, [data-test="error-alert"], .ant-empty';
    return charts.length > 0
        && charts.every(chart => chart.querySelector(ended) && !chart.querySelector('.loading'));
}}"""
# Charts draw on canvases, which cannot be queried later: each label is recorded as it is drawn.
_RECORD_LABELS = """(() => {
    const drawing = CanvasRenderingContext2D.prototype;
    const {fillText, clearRect, rect, clip, save, restore} = drawing;
    // What is clipped, such as the rest of a long legend, is drawn but not seen.
    drawing.rect = function (...area) {
        const {a, d, e, f} = this.getTransform();
        this.lastRect = {left: e + a * area[0], right: e + a * (area[0] + area[2]),
            top: f + d * area[1], bottom: f + d * (area[1] + area[3])};
        return rect.apply(this, area);
    };
    drawing.clip = function (...rest) {
        this.clipped = this.lastRect;
        return clip.apply(this, rest);
    };
    drawing.save = function () { (this.clips ??= []).push(this.clipped); return save.call(this); };
    drawing.restore = function () { this.clipped = this.clips?.pop(); return restore.call(this); };
    drawing.clearRect = function (...area) {
        window.drawnAt = performance.now();
        if (area[2] >= this.canvas.clientWidth * 0.9) this.canvas.labels = [];
        return clearRect.apply(this, area);
    };
    drawing.fillText = function (text, x, y, ...rest) {
        const {a, b, d, e, f} = this.getTransform();
        const size = this.measureText(text);
        const within = this.clipped ?? {left: -1e9, right: 1e9, top: -1e9, bottom: 1e9};
        if (!b && text.trim() && this.globalAlpha > 0.1) (this.canvas.labels ??= []).push({
            text,
            left: Math.max(within.left, e + a * (x - size.actualBoundingBoxLeft)),
            right: Math.min(within.right, e + a * (x + size.actualBoundingBoxRight)),
            top: Math.max(within.top, f + d * (y - size.actualBoundingBoxAscent)),
            bottom: Math.min(within.bottom, f + d * (y + size.actualBoundingBoxDescent)),
        });
        return fillText.call(this, text, x, y, ...rest);
    };
})()"""
# A chart moves to its position, and clears its canvas for each frame of that.
_STANDS_STILL = "() => performance.now() - (window.drawnAt ?? 0) > 1500"
_OVERPRINTED = """chart => [...chart.querySelectorAll('canvas')].flatMap(canvas => {
    const pairs = [], labels = canvas.labels ?? [];
    labels.forEach((one, index) => labels.slice(index + 1).forEach(other => {
        const wide = Math.min(one.right, other.right) - Math.max(one.left, other.left);
        const high = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
        if (wide > 1 && high > 1) pairs.push(`${one.text} over ${other.text}`);
    }));
    return pairs;
})"""
# A table wider than its place ends within a column: 2 939 is read as 2 93.
_CUT = """chart => [...chart.querySelectorAll('div')].filter(each => each.querySelector('table')
    && each.scrollWidth > each.clientWidth + 2).map(each =>
    `${each.scrollWidth} of ${each.clientWidth} pixels`)"""
# Superset calls a third party to count its users; our settings forbid it, which the browser logs.
_EXPECTED = "scarf.sh"


@dataclass
class DashboardView:
    """The content of a dashboard. queries: the SQL of each chart, by its title.

    overprinted: labels on a canvas that overlap. cut: tables wider than their place. texts: the
    text of each chart.
    """

    titles: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    overprinted: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    queries: dict[str, str] = field(default_factory=dict)
    responses: list[Response] = field(default_factory=list)

    def record_response(self, response: Response) -> None:
        """Record the responses to charts, and all errors."""
        if _DATA in response.url or response.status >= HTTPStatus.BAD_REQUEST:
            self.responses.append(response)

    def read_responses(self, titles: dict[int, str]) -> None:
        """Extract the queries of the charts, and the errors; titles: of the charts, by id."""
        for response in self.responses:
            if response.status >= HTTPStatus.BAD_REQUEST:
                self.failures.append(f"{response.status} {response.url}: {response.text()[:300]}")
                continue
            form = json.loads(response.request.post_data or "{}").get("form_data", {})
            if title := titles.get(form.get("slice_id")):
                self.queries[title] = response.json()["result"][0]["query"]

    def record_console(self, message: ConsoleMessage) -> None:
        """Record errors of the page itself."""
        if message.type == "error" and _EXPECTED not in message.text:
            self.failures.append(f"console: {message.text[:300]}")


@contextmanager
def logged_in(browser: Browser, served: Served) -> Iterator[Page]:
    """Open a page and log in."""
    context = browser.new_context(
        base_url=served.url, viewport={"width": WIDTH, "height": HEIGHT}, locale="en-GB"
    )
    context.set_default_timeout(PATIENCE * 1000)
    context.add_init_script(_RECORD_LABELS)
    page = context.new_page()
    page.goto("/login/")
    # The page's script renders the form: input before it has run is lost.
    page.wait_for_load_state("networkidle")
    page.locator("input[name=username], #username").fill("admin")
    page.locator("input[name=password], #password").fill(served.password)
    page.keyboard.press("Enter")
    page.wait_for_url("**/superset/welcome/**")
    yield page
    context.close()


def open_dashboard(page: Page, slug: str, width: int = WIDTH) -> DashboardView:
    """Open a dashboard in a window so tall that all of its charts load, and wait for them."""
    view = DashboardView()
    page.on("response", view.record_response)
    page.on("console", view.record_console)
    page.set_viewport_size({"width": width, "height": HEIGHT})
    page.goto(f"/superset/dashboard/{slug}/")
    page.wait_for_selector(_CHART)
    tall = page.evaluate("document.querySelector('.grid-content').scrollHeight")
    page.set_viewport_size({"width": width, "height": int(tall) + 250})
    page.wait_for_function(_ALL_RENDERED)
    page.wait_for_load_state("networkidle")
    page.wait_for_function(_STANDS_STILL)
    page.remove_listener("response", view.record_response)
    page.remove_listener("console", view.record_console)
    titles: dict[int, str] = {}
    for chart in page.locator(_CHART).all():
        title = chart.locator(".header-title").inner_text().strip()
        number = re.search(r"chart-id-(\d+)", chart.evaluate("e => e.outerHTML"))
        assert number, title
        titles[int(number[1])] = title
        for alert in chart.locator(".ant-alert-error, [data-test='error-alert']").all():
            view.failures.append(f"{title}: {alert.inner_text()[:300]}")
        view.overprinted += [f"{title}: {pair}" for pair in chart.evaluate(_OVERPRINTED)]
        view.cut += [f"{title}: {size}" for size in chart.evaluate(_CUT)]
        view.texts[title] = chart.inner_text()
        if chart.locator(".ant-empty").count() or "No data" in chart.inner_text():
            view.empty.append(title)
    view.titles = list(titles.values())
    view.read_responses(titles)
    return view
