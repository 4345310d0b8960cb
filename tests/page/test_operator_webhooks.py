"""Webhooks: what was sent, what was answered, and sending it again."""

import httpx2
from playwright.sync_api import expect

from tests.page.looks import Look
from tests.page.operating import SAY, ended, submitted
from tests.sink import Answer, Sink
from tests.waiting import until


def test_a_delivery_is_seen_and_sent_again(look: Look, client: httpx2.Client, third_party: Sink) -> None:
    page = look.page
    third_party.received.clear()
    third_party.answers = [Answer()]
    made = client.post("/v1/webhooks", json={"url": f"{third_party.url}/orders", "events": ["job.succeeded"]})
    assert made.status_code == 201, made.text
    try:
        ended(client, submitted(client, SAY), "succeeded")
        look.open("#/webhooks")
        page.get_by_role("link", name=f"{third_party.url}/orders").click()
        row = page.get_by_role("table", name="Deliveries").get_by_role("row").nth(1)
        expect(row).to_contain_text("delivered")
        row.get_by_role("button", name="Tries").click()
        expect(page.get_by_text("it answered 200").last).to_be_visible()
        expect(page.get_by_role("region", name="What is sent")).to_contain_text("job.succeeded")
        look.axe()
        look.shot("webhook")
        row.get_by_role("button", name="Redeliver").click()
        page.get_by_role("dialog").get_by_role("button", name="Redeliver").click()
        [first, again] = until(lambda: third_party.received if len(third_party.received) == 2 else None)
        assert first.headers["webhook-id"] == again.headers["webhook-id"]
        page.get_by_role("button", name="Redeliver", exact=True).click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Those that are").select_option("delivered")
        look.axe()
        dialog.get_by_role("button", name="Send them again").click()
        expect(page.get_by_text("1 message is sent again")).to_be_visible()
        page.get_by_role("button", name="Send a test").click()
        expect(page.get_by_role("table", name="Deliveries").get_by_role("row").nth(1)).to_contain_text("webhook.test")
    finally:
        client.delete(f"/v1/webhooks/{made.json()['id']}")
