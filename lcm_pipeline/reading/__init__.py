"""Proves that a client's rows were read completely, by scanning, joining and counting pages.

Functions and generators without I/O or clock: `sync.client` sends the requests that they yield.
They keep no state but the `PagingHabits` that they are given. docs/explanation/proof.md explains
the proof with an example.

proof.py        reads one client: scans until a scan is proven, or gives up
growth.py       the shorter way: only the new rows of a history that is known
scan.py         one pass over the pages, from the first row to the last
seams.py        whether two overlapping pages join without a gap
fingerprint.py  a proven reading, and what is stored of it to detect changes
errors.py       unproven, or changed during a scan
"""
