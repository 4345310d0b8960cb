"""What the stream of /v1/webhooks/listen says, and what the OpenAPI document says of it."""

from typing import Any

from storage.webhook_model import EventType
from tasks.job_document import Document

SEEN_PATTERN = "^(whe|dlv)_[0-7][0-9a-hjkmnp-tv-z]{25}$"


class ReadyDocument(Document):
    """The listener from whose beginning on, or since when it was last heard of, all messages come."""

    listener: str


class MessageDocument(Document):
    """What a webhook would be sent: post `body`, as it is, with these headers, and the signature fits.

    `job` is the id of the job that it tells of.
    """

    type: EventType
    job: str | None
    headers: dict[str, str]
    body: str


DOCUMENTS = (ReadyDocument, MessageDocument)
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The messages as they come, without an end.",
        "content": {
            "text/event-stream": {
                "schema": {
                    "type": "object",
                    "description": "First `ready` with a ReadyDocument, then each `webhook` with a MessageDocument; "
                    "`id` is what to come back with.",
                    "properties": {
                        "id": {"type": "string", "pattern": SEEN_PATTERN},
                        "event": {"type": "string", "enum": ["ready", "webhook"]},
                        "data": {
                            "type": "string",
                            "contentMediaType": "application/json",
                            "contentSchema": {
                                "anyOf": [{"$ref": f"#/components/schemas/{one.__name__}"} for one in DOCUMENTS]
                            },
                        },
                    },
                    "required": ["id", "event", "data"],
                }
            }
        },
    }
}
