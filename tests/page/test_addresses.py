"""Where links of the API's documents lead on the page: to this host, whatever they say."""

from tests.page.looks import Look

RESOLVED = """
async (links) => {
  const { href } = await import(new URL("api.js", document.querySelector("script[type=module]").src));
  return links.map((link) => new URL(href(link), location.href).host);
}
"""
STRANGE = [
    "x:http://x//evil.example/p",
    "x:a/v1/../..//evil.example/",
    "//evil.example/v1/jobs",
    "https://evil.example/v1/jobs?a=b",
    "javascript:alert(1)",
    "/v1/jobs/job_1/outputs/s/small",
]


def test_a_link_leads_to_no_other_host_whatever_it_says(developer: Look) -> None:
    here = developer.page.evaluate("location.host")
    assert developer.page.evaluate(RESOLVED, STRANGE) == [here] * len(STRANGE)
