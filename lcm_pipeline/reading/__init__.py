"""The proof of one client's history: pages scanned, joined and counted. Pure: no I/O, no clock."""
