"""Tenants and keys, in the database and on the command line."""

import os
import subprocess
import sys

import pytest

from storage import tenants
from storage.database import Database
from storage.model import TenantId


def storage(database_url: str, *words: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "storage", *words],
        env={**os.environ, "DATABASE_URL": database_url, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_key_tells_its_tenant_and_scopes(database: Database, tenant: TenantId) -> None:
    with database.platform() as tx:
        key = tenants.create_key(tx, tenant, ["jobs:write", "jobs:read"])
        found = tenants.who_has(tx, key)
    assert found is not None
    assert (found.tenant_id, found.scopes) == (tenant, frozenset({"jobs:read", "jobs:write"}))


def test_a_key_is_stored_as_a_hash_only(database: Database, tenant: TenantId) -> None:
    with database.platform() as tx:
        key = tenants.create_key(tx, tenant, ["jobs:read"])
        rows = tx.sql("SELECT row_to_json(api_keys)::text AS row FROM api_keys").all()
    assert len(rows) == 1
    assert key not in rows[0].row
    assert key[8:] not in rows[0].row


def test_unknown_and_revoked_keys_belong_to_nobody(database: Database, tenant: TenantId) -> None:
    with database.platform() as tx:
        key = tenants.create_key(tx, tenant, ["jobs:read"])
        assert tenants.who_has(tx, key + "x") is None
        assert tenants.who_has(tx, "") is None
        [(key_id, hint, scopes, revoked)] = tenants.keys_of(tx, "acme")
        assert (hint, scopes, revoked) == (key[:7], ["jobs:read"], False)
        assert tenants.revoke_key(tx, key_id)
        assert tenants.who_has(tx, key) is None


@pytest.mark.parametrize(
    ("scopes", "granted"),
    [
        (["operate"], {"operate", "operate:read", "jobs:read"}),
        (["operate:read", "jobs:write"], {"operate:read", "jobs:read", "jobs:write"}),
        (["jobs:write"], {"jobs:write"}),
        ([], set()),
    ],
)
def test_scopes_imply_others(database: Database, tenant: TenantId, scopes: list[str], granted: set[str]) -> None:
    with database.platform() as tx:
        found = tenants.who_has(tx, tenants.create_key(tx, tenant, scopes))
    assert found is not None
    assert found.scopes == granted


def test_a_key_is_found_by_its_id_until_it_is_revoked(database: Database, tenant: TenantId) -> None:
    with database.platform() as tx:
        key = tenants.create_key(tx, tenant, ["operate:read"])
        [(key_id, *_)] = tenants.keys_of(tx, "acme")
        found = tenants.key_of(tx, key_id)
        assert found is not None
        assert (found.principal, found.tenant_name, found.hint) == (tenants.who_has(tx, key), "acme", key[:7])
        assert tenants.revoke_key(tx, key_id)
        assert tenants.key_of(tx, key_id) is None


def test_tenants_are_found_by_name(database: Database, tenant: TenantId) -> None:
    with database.platform() as tx:
        another = tenants.ensure(tx, "Another")
        assert (tenants.find(tx, "acme"), tenants.find(tx, "ACME")) == (tenant, None)
        assert tenants.all_of_them(tx) == [(another, "Another"), (tenant, "acme")]


def test_a_tenant_is_made_once(database: Database) -> None:
    with database.platform() as tx:
        assert tenants.ensure(tx, "twice") == tenants.ensure(tx, "twice")


def test_the_command_line_makes_lists_and_revokes_keys(database_url: str, database: Database) -> None:
    watching = storage(database_url, "keys", "create", "--tenant", "ops", "--scope", "operate:read")
    check = storage(database_url, "keys", "check", "--scopes", "jobs:read", MILLRACE_API_KEY=watching.stdout.strip())
    assert (watching.returncode, check.returncode) == (0, 0)
    made = storage(database_url, "keys", "create", "--tenant", "acme", "--scopes", "jobs:write,jobs:read")
    key = made.stdout.strip()
    assert made.returncode == 0
    assert storage(database_url, "keys", "check", MILLRACE_API_KEY=key).returncode == 0
    key_id = storage(database_url, "keys", "list", "--tenant", "acme").stdout.split()[0]
    assert storage(database_url, "keys", "revoke", key_id).returncode == 0
    assert storage(database_url, "keys", "check", MILLRACE_API_KEY=key).returncode == 1


@pytest.mark.parametrize(
    ("words", "env", "said"),
    [
        (["keys", "create", "--tenant", "a", "--scopes", "jobs:red"], {}, "jobs:red"),
        (["keys", "revoke", "key_x"], {}, "there is no key key_x"),
        (["migrate"], {"DATABASE_URL": ""}, "DATABASE_URL is not set"),
        (["migrate"], {"DATABASE_URL": "mysql://x/y"}, "DATABASE_URL must look like"),
        (["keys", "list", "--tenant", "a"], {"DATABASE_URL": "postgresql://x:y@127.0.0.1:1/z"}, "error: "),
        (["keys", "check"], {"DATABASE_POOL_SIZE": "many"}, "DATABASE_POOL_SIZE must be"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    database_url: str, words: list[str], env: dict[str, str], said: str
) -> None:
    done = storage(database_url, *words, **env)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
