"""Serves Dagster's web interface, for `lcm ui`.

supervisor.py     starts the web server and the daemon, checks them, and ends them together
programs.py       the names of the two programs
runner.py         the process of each of them
web.py            the web server
request_guard.py  protects the web server, which itself accepts any request
"""
