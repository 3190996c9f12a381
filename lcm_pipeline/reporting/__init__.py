"""The report of a day: one HTML page that can be mailed, printed, and opened without a network.

Reads only the marts, in one snapshot, and is the only user of altair, jinja2 and babel. `reports`
builds the page, `figures` reads the marts, `completeness` and `restated` show how far the numbers
can be trusted, `measures` and `sections` compute the tables, `drawings` and `charts` draw, `pages`
fills the templates. Imports neither Dagster nor the API client.
"""
