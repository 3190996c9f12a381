import time, sys
import pytest
from tests.oracle import *
from tests.syncing import *
import traceback

HEAVY="heavy_operations=260"
CASES = {
 "plain": {}, "cap7": dict(quirks=["max_length=7"], habits=[HEAVY]), "cap100": dict(quirks=["max_length=100"], habits=[HEAVY]),
 "shuf": dict(quirks=["tie_order=shuffled","max_length=9"], habits=["tied=0.6"]), 
 "one": dict(quirks=["one_row_too_many=true","max_length=9"]),
 "zero": dict(quirks=["zero_based=true","max_length=9"]),
 "oldest": dict(quirks=["oldest_first=true","max_length=9"]),
 "null": dict(quirks=["totals=null","max_length=9"]),
 "null0": dict(quirks=["totals=null","max_length=9","zero_based=true"]),
 "nullbig": dict(quirks=["totals=null"]),
 "info": dict(quirks=["informational_message=true"]),
 "exc": dict(quirks=["end_date=exclusive"]),
 "whole": dict(quirks=["end_date=whole_day"]),
 "msk": dict(quirks=["offset_dates=moscow","max_length=9"]),
 "utc": dict(quirks=["offset_dates=utc","max_length=9"]),
 "extra": dict(quirks=["extra_fields=true"], X=dict(extra={"LoyaltyLevel": "Золотой", "PointsForecast": 12.34, "SegmentId": 7})),
 "lfa": dict(quirks=["list_favourites_always=true"]),
 "xml": dict(S=dict(api_format="xml")),
 "xmlcap": dict(S=dict(api_format="xml"), quirks=["max_length=9"]),
 "prefix": dict(prefix="/WebService/XYZ/lcmanagerpartner/", token=123, operator=5, S=dict(token=123, operator=5)),
 "bearer": dict(username="u", password="p", token_seconds=1, S=dict(username="u", password="p")),
 "bad": dict(habits=["bad_rows=0.05"]),
 "badcap": dict(habits=["bad_rows=0.05"], quirks=["max_length=9"]),
 "ignore": dict(quirks=["ignore_start=true"], S=dict(page_length=20)),
 "pl1": dict(clients=15, S=dict(page_length=1)),
 "pl2": dict(clients=15, S=dict(page_length=2)),
 "pl3": dict(clients=15, S=dict(page_length=3)),
 "lie-1": dict(quirks=["totals=-1"], S=dict(page_length=20)),
 "lie+1": dict(quirks=["totals=1"], S=dict(page_length=20)),
 "lie-1cap": dict(quirks=["totals=-1", "max_length=20"]),
 "zone": dict(S=dict(timezone="Asia/Vladivostok"), X=dict(zone=ZoneInfo("Asia/Vladivostok"))),
 "zoneutc": dict(S=dict(timezone="America/New_York"), X=dict(zone=ZoneInfo("America/New_York"))),
}
@pytest.mark.parametrize("name", CASES)
def test_x(programme, warehouse, make_settings, name):
    t=time.time()
    c = {"clients": 40, **CASES[name]}
    S = c.pop("S", {}); X=c.pop("X", {})
    p = programme(**c); 
    s = make_settings(p, warehouse, **S)
    try:
        r = sync_everything(s, warehouse); 
        d = time.time()-t
        print(f"\n== {name} {d:.2f}", {k:(v.requests, v.pending, v.quarantined, v.clients) for k,v in r.items()}, r["operations"].unknown_fields)
        with warehouse.connect() as w:
            pend = [x[0] for x in w.execute("select distinct client_id from sync.client_state where pending_since is not null")]
        f = differences(p.world.truth(), warehouse, last=MARCH.last, without=pend, **X)
        print(len(f), *map(str, f[:4]), sep="\n   ")
        try: check_small_tables(p, warehouse, last=MARCH.last) if not X.get("zone") else None
        except AssertionError as e: print("SMALL", str(e)[:300])
        a = snapshot(warehouse)
        r = sync_everything(s, warehouse)
        b = snapshot(warehouse)
        for k in a: 
          if a[k]!=b[k]:
            print("CHANGED", k); 
            print([x for x in a[k] if x not in b[k]][:3]); print([x for x in b[k] if x not in a[k]][:3])
    except Exception as e:
        traceback.print_exc()
