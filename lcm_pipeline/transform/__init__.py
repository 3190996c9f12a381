"""Payloads to staged records: functions without I/O, whose results depend on nothing else.

A row becomes a record or is set aside with a reason; no row makes a `transform_…` raise.

registrations.py      rows of ClientInfoPeriod, and the clients that they name
operations.py         rows of OperationHistory, and the phone in its envelope
leads.py              rows of LeadsPagingInfo; the shortest example
favourites.py         rows of ClientFavoriteDataInfo: offers and their goods
favourite_envelope.py its envelope: numbers of the client and groups of goods
staged_rows.py        collects records, bad rows and unknown fields; shared by all feeds
rows.py               the bytes of a row as its payload and the fields that the payload lacks
envelope.py           members of a response other than its rows, value by value
values.py             moments, business days and money
pseudonyms.py         phones and cards of staged rows as keyed hashes
profiles.py           a profile update as values to send, or errors
profile_texts.py      texts of a profile: what is stripped, and what is no value
"""
