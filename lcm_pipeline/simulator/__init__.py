"""A simulated loyalty programme: a seeded world, served through the vendor's API, with faults.

It imports nothing else of lcm_pipeline, so that it cannot share a mistake with the API client. The
world is in `world` and the modules of events below it (`days`, `registrations`, `purchases`,
`bonuses`, `leads`, `favourites`), the endpoints in `endpoints`, their responses in `responses`,
`paging` and `periods`, the failures in `faults` and `quirks`, and the server in `app` and `server`.
"""
