"""The client of the loyalty API: owns httpx, knows identity, formats, retries and limits.

client.py       one call, from request to checked response
requests.py     a request, checked and completed before it is sent
responses.py    a response, opened: status, content type, ErrorCode, and what it must hold
messages.py     whether a Message with ErrorCode 0 is an error
paging.py       calls turned into pages of rows
rows.py         a row's key, moment and digest
formats.py      the two formats on the wire; xml_format.py is the second of them, with
                xml_characters.py for what XML cannot carry
charsets.py     the text of a response as UTF-8, whatever its headers say
identity.py     logging in and renewing; credentials.py is what comes of it
retries.py      what is retried, and when
rate_limit.py   calls in flight and per second
transport.py    bytes over HTTP, within their time and size
compression.py  a compressed body opened, never beyond that size
errors.py       the tree of errors
"""
