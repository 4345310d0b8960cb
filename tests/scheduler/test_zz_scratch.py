import random, time, threading
from concurrent.futures import ThreadPoolExecutor
import pytest
from storage import deliveries, delivering as dv
from storage.delivering import UnderWay
from storage.tenants import ensure
from tests.documents import ECHO, put_in
from tests.scheduler.delivering import delivering, end_job, endpoint_at
from tests.scheduler.receiver import Reply, receiving
from tests.storage.telling import ended, endpoint_in, due
from tests.waiting import until

def test_unicode_host(database, tenant):
    rnd = random.Random(2)
    host = "".join(chr(rnd.randrange(0x4E00, 0x9FA5)) for _ in range(2000))
    job = put_in(database, tenant, {**ECHO, "notify": {"url": f"https://{host}/"}})
    ended(database, tenant, job)

def test_ascii_host(database, tenant):
    rnd = random.Random(2)
    host = "".join(rnd.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(2000))
    job = put_in(database, tenant, {**ECHO, "notify": {"url": f"https://{host}/"}})
    ended(database, tenant, job)

def test_50_hanging(database, tenant):
    with database.platform() as tx:
        other = ensure(tx, "other")
    with receiving() as receiver:
        go = threading.Event()
        eps = [endpoint_at(database, tenant, receiver, f"/h{n}") for n in range(50)]
        for n in range(50): receiver.replies[f"/h{n}"] = [Reply(hang=go)]
        with database.begin(tenant) as tx:
            for e in eps:
                for _ in range(10): deliveries.insert_test(tx, e.id)
        endpoint_at(database, other, receiver, "/fine")
        with delivering(database):
            until(lambda: len(receiver.got) >= 50)
            time.sleep(1)
            print("hanging in flight", len(receiver.got))
            job = put_in(database, other)
            began = time.monotonic()
            ended(database, other, job)
            try:
                until(lambda: receiver.to("/fine"), seconds=30)
                print("other waited", receiver.to("/fine")[0].at - began)
            finally: go.set()

@pytest.mark.parametrize("lanes", [10_000, 100_000])
def test_lanes(database, tenant, lanes):
    with database.platform() as tx:
        tx.sql("INSERT INTO deliveries (tenant_id, id, url, lane, type, message_id, next_at) SELECT %(t)s, new_typeid('dlv'), 'https://h' || n || '.example.com/', %(t)s || ' h' || n || '.example.com', 'webhook.test', new_typeid('msg'), now() + interval '1 hour' FROM generate_series(1, %(n)s) AS n", t=tenant, n=lanes)
    with database.platform() as tx:
        tx.sql("ANALYZE deliveries")
    for narrow in (0, 10_000):
        nl = [f"{tenant} h{n}.example.com" for n in range(narrow)]
        for _ in range(8):
            b = time.monotonic()
            due(database, UnderWay(narrow=nl))
            c = time.monotonic()
            with database.platform_read() as tx: dv.seconds_to_next(tx, UnderWay(narrow=nl))
            d = time.monotonic()
            print(f"lanes {lanes} narrow {narrow} take {c-b:.3f} next {d-c:.3f}")
