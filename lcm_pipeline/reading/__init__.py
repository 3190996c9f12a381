"""Proves that a client's rows were read completely, by scanning, joining and counting pages.

Pure functions and generators: no I/O and no clock.
"""
