"""Mutated responses through the whole path to a warehouse, beside healthy clients: `make fuzz`.

`answers` writes a response, `mutations` changes it, `drawing` draws mutants with hypothesis,
`server` sends them, `verdicts` reads them as a stranger would, `scene` syncs and compares,
`campaign` counts. A failing mutant is a line of JSON that `make fuzz REPLAY=FILE` plays again.
"""
