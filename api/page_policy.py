"""What pages of ours may load: scripts and styles that bear the number of this one answer, and nothing of tenants'.

An address would not do: files of tenants are on this host, too, and where a proxy's prefix leads to is not known here.
"""

import secrets
from collections.abc import Mapping

SAME = {
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def nonce() -> str:
    """A number for one answer, which nobody can guess who has a hand in what the page shows."""
    return secrets.token_urlsafe(18)


def headers(of: str, *, images: str, styles: str = "") -> Mapping[str, str]:
    """The headers of a page with the nonce `of`: where its pictures are from, and what else may style it."""
    policy = {
        "default-src": "'none'",
        "script-src": f"'nonce-{of}'",
        "style-src": styles or f"'nonce-{of}'",
        "img-src": images,
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    told = "; ".join(f"{name} {value}" for name, value in policy.items())
    return {**SAME, "Content-Security-Policy": told, "Cache-Control": "no-cache"}
