"""Harnesses that break a sync or a push at every moment and compare the result with the truth.

    commit_points   the moments, by name, and how they are recognised from outside the engine
    taps            sessions and an API client that report each moment, and can be struck there
    weapons         the ways to strike: signals and lost sessions
    victim          one command in a separate process; dagster_victim: the same through Dagster
    scenes          a server, a programme, databases to start from, the results of clean runs
    contents        the rows of a warehouse, without columns that differ from run to run
    watching        a reader that checks continuously whether a day is half published
    repeats         which readings were requested twice
    episodes        strikes, reruns and the verdict; partition_marks: around Dagster's mark
    fault_cases     one failed call or statement, and the verdict
    tallies         the printed tables
    push_victim, push_scenes   the same for a push: its process, its updates, the expected results
    kills, push_kills, faults, readers   the four long runs; each is a program

Nothing of the engine is replaced: the taps are passed in through its own parameters. The clean runs
are themselves compared with the truth of the source, field by field.
"""
