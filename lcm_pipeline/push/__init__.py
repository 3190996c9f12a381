"""The write-back: profile updates from the outbox or a CSV file to the API.

push.py       pushes and undoes, under the push lock
send.py       one push: clients concurrently, the updates of a client in order
attempt.py    one request for one update, and what its response means
canary.py     stops a push that fails
preview.py    what a push would send, and why the rest is not sent
csv_file.py   updates from a CSV file
csv_cells.py  the cells of such a file, in the forms that programs and people write
"""
