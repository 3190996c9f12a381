"""Client of the loyalty API: authentication, formats, retries and limits.

Only this package imports httpx and aiohttp.

client.py          one call, from request to checked response
requests.py        checking a request before it is sent
responses.py       parsing a response: status, content type, ErrorCode, required members
messages.py        whether a Message with ErrorCode 0 is an error
paging.py          calls as pages of rows
rows.py            a row's key, moment and digest
formats.py         the wire formats JSON and XML
xml_format.py      encoding and decoding XML
xml_characters.py  characters that XML does not allow
charsets.py        decoding a response to UTF-8, whatever its headers say
auth.py            logging in and renewing tokens
credentials.py     what a request carries, and parsing the response of a login
retries.py         what is retried, how often, and when
rate_limit.py      limits of requests in flight and per second
transport.py       HTTP, with limits of time and size
compression.py     decompression up to a maximum size
clocks.py          our clock, how far the service's is ahead of it, dates in headers
scrubbing.py       removing personal data from the vendor's texts
probe.py           reachability, TLS and clock of the service
errors.py          the tree of errors
"""
