"""The report of a day: one HTML page that can be mailed, printed, and opened without a network.

Reads only the marts, in one snapshot, and is the only user of altair, jinja2 and babel. Imports
neither Dagster nor the API client.

reports.py       builds the page of a day, a week or a month
figures.py       reads the marts
periods.py       weeks and months, and what they are compared with
completeness.py  how far the numbers can be trusted;  restated.py  which of them changed
measures.py      a day or period next to earlier ones;  sections.py  the other tables
charts.py        the charts, each described in words;  drawings.py  a chart as SVG
pages.py         fills the templates;  formats.py  formats numbers and days
"""
