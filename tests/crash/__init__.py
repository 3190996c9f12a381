"""Harnesses that break a sync at every moment and hold what is left against the truth.

    commit_points   the moments, by name, and how they are recognised from outside of the engine
    taps            sessions and an API client that report each moment, and may be struck there
    weapons         what strikes: signals and lost sessions
    victim          one command as a process of its own
    scenes          a server, a programme, databases to start from, what a clean run makes of them
    contents        what a warehouse holds, without what differs from run to run
    watching        a reader that looks all the time whether a day is half there
    kills, faults, readers   the three long runs; each is a program

Nothing of the engine is replaced: what is tapped goes through its own seams.
"""
