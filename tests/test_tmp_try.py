import time, sys
from collections import Counter
import pytest
from datetime import date, datetime, timedelta
from tests.oracle import *
from tests.syncing import *
from lcm_pipeline.sync.errors import SyncFailed
import traceback

HABITS=["late=0.1","late_registrations=0.1","cancelled=0.05","refunded=0.1","merged_daily=0.02","card_changes_daily=0.05","visits_daily=0.2","leads_daily=0.1","offers_daily=0.1", "heavy_operations=60"]
@pytest.mark.parametrize("seed,extra,fuse", [(7,[],None),(8,["bad_rows=0.04"],None), (9, ["bad_rows=0.04"], 1.0), (10, [], 1.0), (11, ["bad_rows=0.2"], 1.0)])
def test_x(programme, warehouse, make_settings, seed,extra,fuse):
    t=time.time()
    p = programme(clients=40, now=datetime(2026,3,1,0,0,1), seed=seed, habits=HABITS+extra)
    # programme starts empty at 1 march: clients planned up to now
    p.stop()
    p = programme(clients=30, start=date(2026,2,20), now=datetime(2026,3,1,0,0,1), seed=seed, habits=HABITS+extra)
    kw = dict(page_length=12)
    if fuse is not None: kw["delete_fuse"]=fuse
    s = make_settings(p, warehouse, start_date=date(2026,2,20), **kw)
    for n in range(30):
        day = date(2026,3,1)+timedelta(days=n)
        p.world.advance(datetime.combine(day+timedelta(days=1), datetime.min.time())+timedelta(hours=12))
        w = Window(day, day)
        if n == 29: s = make_settings(p, warehouse, start_date=date(2026,2,20), **{**kw, "audit_share":1})
        eng = SyncEngine(s, warehouse)
        for feed in FEEDS:
            try:
                r = getattr(eng, "sync_"+feed)(w)
                if r.pending: print(day, feed, "pending", r.pending)
            except SyncFailed as e: print(day, feed, str(e)[:130])
        d = differences(p.world.truth(), warehouse, last=day)
        bysort = Counter((x.table, x.kind) for x in d)
        if n==29 or n%9==0: print(day, dict(bysort))
        with warehouse.connect() as c:
            from lcm_pipeline.sync.reconcile import totals_differing
            for f in FEEDS:
                td = totals_differing(warehouse, f)
                if td.total: print("   totals", day, f, td.total, td.listed[:2])
    print(*map(str,d[:6]), sep="\n  ")
    with warehouse.connect() as c:
        q = c.execute("select count(*) from sync.quarantine where resolved_at is null").fetchone()
    print("quar", q, len(p.world.truth()["bad_rows"]), time.time()-t)
    a = snapshot(warehouse)
    eng = SyncEngine(s, warehouse)
    for feed in FEEDS: getattr(eng, "sync_"+feed)(w)
    b = snapshot(warehouse)
    for k in a: 
          if a[k]!=b[k]:
            print("CHANGED", k); 
            print([x for x in a[k] if x not in b[k]][:3]); print([x for x in b[k] if x not in a[k]][:3])
    check_small_tables(p, warehouse, last=day)
