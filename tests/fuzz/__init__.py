"""Sends mutated responses through a whole sync, together with healthy clients: `make fuzz`.

`answers` writes a response, `mutations` changes it, `drawing` draws mutants with hypothesis,
`server` sends them, `verdicts` judges them independently of the pipeline, `scene` syncs and
compares, `campaign` counts. A failing mutant is a line of JSON that `make fuzz REPLAY=FILE` plays
again.
"""
