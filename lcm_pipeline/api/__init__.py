"""The client of the loyalty API: owns httpx, knows identity, format, retries and limits.

client.py      one call from request to checked answer
endpoints.py   the five endpoints as declarations
paging.py      calls turned into pages of rows
suspicion.py   what to think of ErrorCode 0 with a Message
rows.py        a row's key, moment and digest
requests.py    a request checked and dressed before it is sent
formats.py     the two formats on the wire; xml_format.py is the second of them, with
               xml_characters.py for what XML cannot carry
charsets.py    the text of a response as UTF-8, whatever its headers say
envelope.py    an answer opened: status, content type, ErrorCode, and what it must hold
identity.py    who we are: logging in, renewing; credentials.py is what comes of it
retries.py     what is asked again, and when
limits.py      calls in flight and per second
wire.py        bytes over HTTP, within their time and size
compression.py a compressed body opened, never beyond that size
errors.py      the tree of errors
"""
