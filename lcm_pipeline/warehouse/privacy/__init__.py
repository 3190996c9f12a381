"""Personal data: disclosed, erased, hashed, or removed when it is old.

disclosure.py      lists everything that is stored about one person
forgetting.py      erases one person from every schema
client_rows.py     where the rows of a person are, for these two
pseudonymizing.py  stores phones and cards as keyed hashes, and changes the key
keys.py            whether the keys of the settings are those of the warehouse
expiration.py      removes what is older than LCM_RETENTION_MONTHS;  old_months.py, old_rows.py  how
rewriting.py       the rewrites of stored rows that these need
"""
