"""Harnesses that break a sync at every moment and hold what is left against the truth.

    commit_points   the moments, by name, and how they are recognised from outside of the engine
    taps            sessions and an API client that report each moment, and may be struck there
    weapons         what strikes: signals and lost sessions
    victim          one command as a process of its own; dagster_victim: the same through Dagster
    scenes          a server, a programme, databases to start from, what a clean run makes of them
    contents        what a warehouse holds, without what differs from run to run
    watching        a reader that looks all the time whether a day is half there
    asking          which readings were asked for twice
    episodes        strikes, reruns and the verdict; partition_marks: those around Dagster's mark
    fault_cases     one failed call or statement, and the verdict
    tallies         the tables that are printed
    push_victim, push_scenes   the same for a push: its process, what is asked of it and must come
    kills, push_kills, faults, readers   the four long runs; each is a program

Nothing of the engine is replaced: what is tapped goes through its own seams. A clean run that is
compared with is itself held against the truth of the source, field by field.
"""
