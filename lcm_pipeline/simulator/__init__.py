"""A simulated loyalty programme: a seeded world, served through the vendor's API, with faults.

It imports nothing else of lcm_pipeline, so that it cannot share a mistake with the API client.

world.py          the programme, and the tests' view of it: what is true, and changes by hand
programme.py      its clients, number sequences, clock and agenda
customers.py      a client, and the shelves that hold its rows
people.py         names, phones and cards;  catalogue.py  partners, stores, goods, texts
days.py           the events of a day, of the kinds that follow
registrations.py  clients who register, merge and get other cards
purchases.py      cheques and refunds;  bonuses.py  the points that they give and take
leads.py          leads;  favourites.py  favourite products
profiles.py       what a profile update changes
mutations.py      changes of rows between two requests;  hooks.py  planned ones
bad_rows.py       rows that do not fit their payload
moments.py        times as the vendor stores them;  fields.py  types of values and rows

endpoints.py      the endpoints, as the vendor documents them
requests.py       parses a request;  identity.py  who sends it
responses.py      the response of each endpoint
paging.py         pages of a shelf;  periods.py  rows of a period
xml_format.py     encodes a response as XML;  replies.py  as HTTP and JSON
quirks.py         what the programme is like, and how its server deviates
faults.py         calls that fail, and how
configuration.py  everything that it is started with
service.py        a running programme without its server;  traffic.py  counts its requests
app.py            serves it over HTTP;  control.py  the control API of the tests
server.py         runs the server, in a thread or for `lcm simulate`
"""
