"""Shared types. Imports no other package of ours.

payloads.py    requests, responses and rows, in the vendor's spelling
endpoints.py   the endpoints as declarations
tables.py      the core tables: columns, keys, coverage
pages.py       a page of rows, and the request for one
tasks.py       a task, the rows read for it, its outcome
windows.py     business days from one to another
profiles.py    the write-back: fields, updates, attempts
forgotten.py   erased clients, as hashes
pseudonyms.py  keyed hashes of phones and cards
json_split.py  splits JSON without decoding it
integers.py    the bound of whole numbers
texts.py       texts from outside, made safe to show
language.py    Russian or English
extras.py      optional dependencies
errors.py      errors for the user, and exit codes
unexpected.py  logs where unexpected errors were raised
"""
