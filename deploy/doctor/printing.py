"""How findings are shown: a line each for people, with what to do below it, or JSON for scripts."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from deploy.doctor.findings import Finding, Level, worst

_STYLES = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}
_ENDS = {
    Level.OK: "All is well.",
    Level.WARN: "It works; see what has a warning.",
    Level.FAIL: "Something is broken; begin with the first failure.",
}
_INDENT = 7


def as_json(findings: Sequence[Finding], where: str) -> str:
    """{"state", "where", "findings": [{"about", "level", "sentence", "mend", "code", "facts"}]}"""
    listed = [asdict(finding) | {"facts": dict(finding.facts)} for finding in findings]
    return json.dumps({"state": worst(findings), "where": where, "findings": listed}, ensure_ascii=False)


def show(console: Console, findings: Sequence[Finding], where: str) -> None:
    """Print them all, in their order; where nobody looks, a line each, whole, so that it can be searched."""
    _put(console, 0, Text(f"Looking at {where}."))
    about = None
    for finding in findings:
        if finding.about != about:
            console.print(Text(f"\n{finding.about}", style="bold"))
            about = finding.about
        _put(console, 2, _sentence(finding))
        if finding.mend:
            _put(console, _INDENT, Text(f"→ {finding.mend}{_more(finding)}"))
    console.print()
    _put(console, 0, Text(_ENDS[worst(findings)]))


def _put(console: Console, indent: int, text: Text) -> None:
    if console.is_terminal:
        console.print(Padding(text, (0, 0, 0, indent), expand=False))
    else:
        console.print(Text(" " * indent).append_text(text), soft_wrap=True)


def _sentence(finding: Finding) -> Text:
    return Text.assemble((f"{finding.level:<4} ", _STYLES[finding.level]), _printable(finding.sentence))


def _more(finding: Finding) -> str:
    return f" (docs/stuck.md#{finding.code})" if finding.code else ""


def _printable(words: str) -> str:
    """What a third party or a file says may hold what steers a terminal."""
    return "".join(one if one.isprintable() else "�" for one in words)
