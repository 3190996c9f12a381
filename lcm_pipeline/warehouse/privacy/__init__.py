"""Personal data: erased, hashed, or removed when it is old.

forgetting.py      erases one person from every schema
pseudonymizing.py  stores phones and cards as keyed hashes, and changes the key
expiration.py      removes what is older than LCM_RETENTION_MONTHS
rewriting.py       the rewrites of stored rows that these need
"""
