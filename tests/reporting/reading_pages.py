"""Reads an English report page: sections by id, rows by their headings."""

from decimal import Decimal

from lxml import html


class Page:
    """A parsed page."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.root = html.document_fromstring(text)

    def section(self, name: str) -> html.HtmlElement:
        """A section by the id of its heading."""
        (found,) = self.root.xpath("//section[@aria-labelledby=$name]", name=name)
        return found

    def words(self, name: str) -> str:
        """The text of a section without its drawings."""
        drawn = self.section(name).xpath(".//text()[not(ancestor::svg)]")
        return " ".join(" ".join(drawn).split())

    def row(self, section: str, label: str) -> list[str]:
        """The cells of the one row of a section whose heading holds a label."""
        rows = [cells for title, cells in self.rows(section) if label in title]
        assert len(rows) == 1, f"{len(rows)} rows of {section} are called {label}"
        return rows[0]

    def rows(self, section: str) -> list[tuple[str, list[str]]]:
        """The rows of all tables of a section: heading and cells."""
        return [
            (_text(row.xpath("./th")[0]), [_text(cell) for cell in row.xpath("./td")])
            for row in self.section(section).xpath(".//tbody/tr[th]")
        ]


def number(text: str) -> Decimal | None:
    """The number in a cell of an English page; None for a dash."""
    plain = "".join(c for c in text.replace("−", "-") if c in "0123456789.-")
    return Decimal(plain) if plain else None


def _text(element: html.HtmlElement) -> str:
    return " ".join(element.text_content().split())
