"""The documents about sign-ins."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from storage.sessions import Session
from storage.tenants import Key
from tasks.job_document import Document

MAX_KEY = 200


class SessionRequest(Document):
    """With which key to sign in."""

    key: Annotated[str, Field(min_length=1, max_length=MAX_KEY, description="An API key, mk_…")]


class TenantDocument(Document):
    """A tenant."""

    id: str
    name: str


class KeyDocument(Document):
    """An API key, of which `hint` is the first characters."""

    id: str
    hint: str


class SessionDocument(Document):
    """Who is signed in. `csrf` and `expires_at` are null for who sends a key instead."""

    tenant: TenantDocument
    key: KeyDocument
    scopes: Annotated[list[str], Field(description="those of the key, and what they imply")]
    csrf: Annotated[
        str | None, Field(description="to be sent as X-CSRF-Token with whatever changes something; keep it in memory")
    ]
    expires_at: Annotated[datetime | None, Field(description="when the sign-in ends if it is not used until then")]
    flower_url: Annotated[str | None, Field(description="where operators see Flower, if there is one")]


def session_document(key: Key, session: Session | None, flower_url: str | None) -> SessionDocument:
    who = key.principal
    return SessionDocument(
        tenant=TenantDocument(id=who.tenant_id, name=key.tenant_name),
        key=KeyDocument(id=who.key_id, hint=key.hint),
        scopes=sorted(who.scopes),
        csrf=session and session.csrf,
        expires_at=session and session.expires_at,
        flower_url=flower_url,
    )
