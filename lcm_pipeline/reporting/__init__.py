"""The report of a day: one HTML page that can be mailed, printed, and opened without a network.

Reads the marts and nothing else, in one snapshot; owns altair, jinja2 and babel. `reports` writes
the page, `figures` reads, `completeness` and `restated` say how far the numbers can be trusted,
`measures` and `sections` lay them out, `drawings` and `charts` draw, `pages` fills the templates.
Knows no Dagster and no API.
"""
