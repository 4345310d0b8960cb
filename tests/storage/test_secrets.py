"""Tenants' secrets in the database, and how they change from one SECRET_KEY to the next."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from storage import resealing, secrets, webhooks
from storage.database import Database
from storage.errors import SecretUnreadable
from storage.model import TenantId
from storage.resealing import Resealed, reseal_secrets, reseal_webhooks
from storage.sealing import Keyring
from storage.tenants import ensure
from storage.webhook_model import (
    EndpointId,
    EventType,
    NewEndpoint,
    SigningSecret,
    SigningSecrets,
    new_endpoint_id,
)
from tests.storage.racing import until_somebody_waits_for_a_lock

OLD, NEW = "old-key-of-the-tests-and-of-nobody", "new-key-of-the-tests-and-of-nobody"
BEFORE, BOTH, AFTER = Keyring([OLD]), Keyring([NEW, OLD]), Keyring([NEW])


@pytest.fixture
def other(database: Database) -> TenantId:
    with database.platform() as tx:
        return ensure(tx, "other")


def put(database: Database, tenant: TenantId, ring: Keyring, **values: str) -> None:
    with database.begin(tenant) as tx:
        for name, value in values.items():
            secrets.put(tx, ring, name, value)


def opened(database: Database, tenant: TenantId, ring: Keyring, *names: str) -> dict[str, str]:
    with database.read(tenant) as tx:
        return secrets.opened(tx, ring, names)


def hook(database: Database, tenant: TenantId, ring: Keyring) -> EndpointId:
    """A webhook that the secret "whsec_x" signs."""
    endpoint_id = new_endpoint_id()
    signing = SigningSecrets(secrets=[SigningSecret(secret="whsec_x", until=None)])
    new = NewEndpoint(
        id=endpoint_id,
        url="https://example.com/hook",
        types=[EventType.JOB_SUCCEEDED],
        sealed=webhooks.seal(ring, tenant, endpoint_id, signing),
    )
    with database.begin(tenant) as tx:
        webhooks.insert(tx, new)
        listener = NewEndpoint(id=new_endpoint_id(), url=None, types=new.types, listening_seconds=60)
        webhooks.insert(tx, listener)  # which has nothing that is sealed
    return endpoint_id


def signs(database: Database, tenant: TenantId, ring: Keyring, endpoint_id: EndpointId) -> bytes:
    with database.read(tenant) as tx:
        found = webhooks.find(tx, endpoint_id)
    assert found is not None
    assert found.sealed is not None
    return ring.open(found.sealed, place=webhooks.place(tenant, endpoint_id))


def key_ids(database: Database) -> set[str]:
    with database.platform_read() as tx:
        return {
            row[0]
            for row in tx.sql("SELECT key_id FROM secrets UNION SELECT key_id FROM webhook_endpoints")
            if row[0] is not None
        }


def reseal(database_url: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "storage", "reseal"],
        env={**os.environ, "DATABASE_URL": database_url, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_kept_is_opened_by_its_name_and_by_its_tenant(
    database: Database, tenant: TenantId, other: TenantId
) -> None:
    put(database, tenant, BEFORE, crm="tok", erp="kot")
    put(database, other, BEFORE, crm="theirs")
    assert opened(database, tenant, BEFORE, "crm", "gone") == {"crm": "tok"}
    assert opened(database, tenant, BEFORE, "crm", "erp") == {"crm": "tok", "erp": "kot"}
    assert opened(database, other, BEFORE, "crm", "erp") == {"crm": "theirs"}
    assert opened(database, tenant, BEFORE) == {}


def test_insert_leaves_what_is_there_and_put_replaces_it(database: Database, tenant: TenantId) -> None:
    with database.begin(tenant) as tx:
        made = secrets.insert(tx, BEFORE, "crm", "tok")
        assert secrets.insert(tx, BEFORE, "crm", "another") is None
        assert made == secrets.find(tx, "crm")
        assert secrets.opened(tx, BEFORE, ["crm"]) == {"crm": "tok"}
        replaced = secrets.put(tx, AFTER, "crm", "another")
        assert (replaced.version, secrets.count(tx)) == (2, 1)
        assert secrets.opened(tx, AFTER, ["crm"]) == {"crm": "another"}
        assert secrets.delete(tx, "crm")
        assert not secrets.delete(tx, "crm")
        assert (secrets.find(tx, "crm"), secrets.count(tx)) == (None, 0)


def test_pages_go_by_name_and_stay_with_the_tenant(database: Database, tenant: TenantId, other: TenantId) -> None:
    put(database, tenant, BEFORE, b="1", a_2="1", a="1", a0="1")
    put(database, other, BEFORE, a1="1")
    with database.read(tenant) as tx:
        assert [one.name for one in secrets.page(tx, after=None, limit=3)] == ["a", "a0", "a_2"]
        assert [one.name for one in secrets.page(tx, after="a_2", limit=3)] == ["b"]


@pytest.mark.parametrize("moved", ["name", "tenant_id"])
def test_a_row_that_is_moved_opens_nothing(database: Database, tenant: TenantId, other: TenantId, moved: str) -> None:
    put(database, tenant, BEFORE, crm="tok")
    where, name = (tenant, "public") if moved == "name" else (other, "crm")
    with database.platform() as tx:
        tx.sql("UPDATE secrets SET tenant_id = %(tenant)s, name = %(name)s", tenant=where, name=name)
    with pytest.raises(SecretUnreadable):
        opened(database, where, BEFORE, name)


def test_all_that_older_keys_sealed_is_sealed_with_the_current_one(
    database: Database, database_url: str, tenant: TenantId, other: TenantId
) -> None:
    put(database, tenant, BEFORE, crm="tok", erp="kot")
    put(database, other, BEFORE, crm="theirs")
    put(database, other, AFTER, done="already")
    hooks = [(owner, hook(database, owner, BEFORE)) for owner in (tenant, other)]
    done = reseal(database_url, SECRET_KEY=NEW, SECRET_KEY_FALLBACKS=OLD)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "secrets sealed anew: 3\nwebhooks sealed anew: 2\nimage keys sealed anew: 0\n"
    assert key_ids(database) == {AFTER.current_id}
    assert opened(database, tenant, AFTER, "crm", "erp") == {"crm": "tok", "erp": "kot"}
    assert opened(database, other, AFTER, "crm", "done") == {"crm": "theirs", "done": "already"}
    assert all(b"whsec_x" in signs(database, owner, AFTER, one) for owner, one in hooks)
    with database.read(tenant) as tx:
        assert [one.version for one in secrets.page(tx, after=None, limit=9)] == [1, 1]
    assert reseal_secrets(database, AFTER) == reseal_webhooks(database, AFTER) == Resealed(count=0, left=[])


def test_what_cannot_be_opened_is_named_and_left(
    database: Database, database_url: str, tenant: TenantId, other: TenantId
) -> None:
    lost = Keyring(["lost-key-of-the-tests-and-of-nobody"])
    put(database, tenant, BEFORE, a="1", c="3")
    put(database, tenant, lost, b="2")
    gone = hook(database, other, lost)
    hook(database, other, BEFORE)
    done = reseal(database_url, SECRET_KEY=NEW, SECRET_KEY_FALLBACKS=OLD)
    assert (done.returncode, done.stdout) == (
        1,
        "secrets sealed anew: 2\nwebhooks sealed anew: 1\nimage keys sealed anew: 0\n",
    )
    first, second = done.stderr.splitlines()
    assert first.startswith(f"error: {tenant}/secrets/b: ")
    assert second.startswith(f"error: {other}/webhooks/{gone}: ")
    assert lost.current_id in first
    assert opened(database, tenant, lost, "b") == {"b": "2"}
    assert opened(database, tenant, AFTER, "a", "c") == {"a": "1", "c": "3"}


def test_without_a_key_nothing_is_sealed_anew(database_url: str) -> None:
    done = reseal(database_url, SECRET_KEY="")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "Error: SECRET_KEY is not set\n")


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_every_row_comes_once_whatever_the_size_of_a_batch(
    database: Database, tenant: TenantId, other: TenantId, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(resealing, "BATCH", batch)
    names = [f"n{number}" for number in range(4)]
    for owner in (tenant, other):
        put(database, owner, BEFORE, **dict.fromkeys(names, owner))
        put(database, owner, Keyring(["lost-key-of-the-tests-and-of-nobody"]), lost="x")
    done = reseal_secrets(database, BOTH)
    assert (done.count, len(done.left)) == (8, 2)
    for owner in (tenant, other):
        assert opened(database, owner, AFTER, *names) == dict.fromkeys(names, owner)


def test_whoever_is_stopped_has_done_whole_batches_and_the_next_one_does_the_rest(
    database: Database, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resealing, "BATCH", 2)
    names = [f"n{number}" for number in range(5)]
    put(database, tenant, BEFORE, **dict.fromkeys(names, "tok"))
    sealing, sealed = BOTH.seal, list[str]()

    def seal(plain: bytes, *, place: str) -> object:
        sealed.append(place)
        if len(sealed) == 4:
            raise KeyboardInterrupt
        return sealing(plain, place=place)

    stopped = Keyring([NEW, OLD])
    monkeypatch.setattr(stopped, "seal", seal)
    with pytest.raises(KeyboardInterrupt):
        reseal_secrets(database, stopped)
    assert opened(database, tenant, AFTER, *names[:2]) == dict.fromkeys(names[:2], "tok")
    assert opened(database, tenant, BEFORE, *names[2:]) == dict.fromkeys(names[2:], "tok")
    assert reseal_secrets(database, BOTH) == Resealed(count=3, left=[])
    assert opened(database, tenant, AFTER, *names) == dict.fromkeys(names, "tok")


@pytest.mark.parametrize(("ring", "count"), [(BEFORE, 1), (BOTH, 0)])
def test_a_value_that_is_put_meanwhile_is_not_lost(
    database: Database, tenant: TenantId, ring: Keyring, count: int
) -> None:
    put(database, tenant, BEFORE, crm="old")
    with ThreadPoolExecutor(1) as pool:
        with database.begin(tenant) as tx:
            secrets.put(tx, ring, "crm", "new")
            resealing_it = pool.submit(reseal_secrets, database, BOTH)
            until_somebody_waits_for_a_lock(database)
        assert resealing_it.result() == Resealed(count=count, left=[])
    assert opened(database, tenant, AFTER, "crm") == {"crm": "new"}


def test_two_at_once_seal_each_row_once(database: Database, tenant: TenantId, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resealing, "BATCH", 3)
    names = [f"n{number}" for number in range(20)]
    put(database, tenant, BEFORE, **dict.fromkeys(names, "tok"))
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: reseal_secrets(database, BOTH), range(2)))
    assert sum(one.count for one in done) == len(names)
    assert opened(database, tenant, AFTER, *names) == dict.fromkeys(names, "tok")
