"""A loyalty programme to run against: a seeded world, served as the vendor's API, with faults.

It imports nothing else of lcm_pipeline, so that it cannot agree with the client on a mistake.
The world is in `world` and the modules of events below it (`days`, `registrations`,
`purchases`, `bonuses`, `leads`, `favourites`), what is answered in `answers`, `paging` and
`periods`, what goes wrong in `faults` and `quirks`, and the server in `app` and `server`.
"""
