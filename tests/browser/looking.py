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
_HOLDER = ".dashboard-component-chart-holder"
# Notes have the same holder as charts.
_CHART = f"{_HOLDER}:not(.dashboard-markdown {_HOLDER})"
_STANDS = f"""() => {{
    const charts = [...document.querySelectorAll('{_CHART}')];
    const ended = '.slice_container, .ant-alert-error, [data-test="error-alert"], .ant-empty';
    return charts.length > 0
        && charts.every(chart => chart.querySelector(ended) && !chart.querySelector('.loading'));
}}"""
# Charts draw on canvases, where nothing can be asked for later: each label is noted as it is drawn.
_NOTE_LABELS = """(() => {
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
_OVERPRINTED = """chart => [...chart.querySelectorAll('canvas')].flatMap(canvas => {
    const pairs = [], labels = canvas.labels ?? [];
    labels.forEach((one, place) => labels.slice(place + 1).forEach(other => {
        const wide = Math.min(one.right, other.right) - Math.max(one.left, other.left);
        const high = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
        if (wide > 1 && high > 1) pairs.push(`${one.text} over ${other.text}`);
    }));
    return pairs;
})"""
# Superset asks a third party to count its users; our settings forbid it, and the browser says so.
_EXPECTED = "scarf.sh"


@dataclass
class Look:
    """What one look at a dashboard saw. queries: the SQL of each chart, by its title.

    overprinted: labels on a canvas that lie over one another. texts: what each chart says.
    """

    titles: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    overprinted: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
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
    context.add_init_script(_NOTE_LABELS)
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


def look_at(page: Page, slug: str, width: int = WIDTH) -> Look:
    """Open a dashboard, tall enough that all of its charts load, and wait for them."""
    look = Look()
    page.on("response", look.note_answer)
    page.on("console", look.note_console)
    page.set_viewport_size({"width": width, "height": HEIGHT})
    page.goto(f"/superset/dashboard/{slug}/")
    page.wait_for_selector(_CHART, timeout=60_000)
    tall = page.evaluate("document.querySelector('.grid-content').scrollHeight")
    page.set_viewport_size({"width": width, "height": int(tall) + 250})
    page.wait_for_function(_STANDS, timeout=180_000)
    page.wait_for_load_state("networkidle")
    # Charts move into their places.
    page.wait_for_timeout(1500)
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
        look.overprinted += [f"{title}: {pair}" for pair in chart.evaluate(_OVERPRINTED)]
        look.texts[title] = chart.inner_text()
        if chart.locator(".ant-empty").count() or "No data" in chart.inner_text():
            look.empty.append(title)
    look.titles = list(titles.values())
    look.read_answers(titles)
    return look
