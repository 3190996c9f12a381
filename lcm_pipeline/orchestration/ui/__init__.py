"""Serves Dagster's web interface, for `lcm ui`.

supervisor.py     starts the web server and the daemon, checks them, and ends them together
processes.py      the names of the two processes
program.py        the process of the web server, and that of the daemon
web.py            the web server
request_guard.py  protects the web server, which itself accepts any request
parent.py         ends a process together with the one that started it
"""
