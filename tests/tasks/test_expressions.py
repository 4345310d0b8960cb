"""What expressions give, what they say where they give nothing, and that nothing else can be made of them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import Flaw
from tasks.expressions import (
    MAX_FILLED_BYTES,
    MAX_PLACES,
    MAX_TEXT,
    ExpressionFailed,
    flaws,
    names,
    render,
    render_url,
    roots_of,
)

ROOT = Path(__file__).parents[2]
ROOTS = ("job", "step", "steps")
SCOPE: dict[str, Any] = {
    "steps": {
        "look": {
            "labels": [{"name": "a cat & dog", "score": 0.5}, {"name": "tench", "score": 0.25}],
            "n": 3,
            "sure": True,
            "none": None,
            "empty": {},
            "odd-key": "odd",
            "url": "https://crm.example/in?a=1&b=%20#c",
        },
        "my-step": {"x": "dash"},
        "3d": {"x": "digit"},
    },
    "job": {"id": "job_1", "metadata": {"tag": "t/1", "host": "eu.crm", "up": "..", "nil": ""}},
    "step": {"id": "stp_1", "name": "call", "attempt": 2},
    "secrets": {"crm": "tok-3f9a77"},
}

GIVEN = {
    "{{steps.look.labels[0].name}}": "a cat & dog",
    "{{ steps.look.n }}": 3,
    "{{steps.look.labels}}": SCOPE["steps"]["look"]["labels"],
    "{{steps.look.sure}}": True,
    "n={{steps.look.n}}, {{steps.look.sure}}": "n=3, true",
    "all: {{steps.look.labels[*].score}}": "all: [0.5,0.25]",
    " {{steps.look.n}}": " 3",
    "{{steps.my-step.x}}": "dash",
    '{{steps."my-step".x}}': "dash",
    "{{steps.3d.x}}": "digit",
    "{{steps.look.odd-key}}": "odd",
    "{{'my-step.x' || steps.my-step.x}}": "my-step.x",
    "{{steps.look.nothing || 'default'}}": "default",
    "{{steps.look.none || `0`}}": 0,
    "{{steps.look.labels[?score > `0.3`].name | [0]}}": "a cat & dog",
    "{{join(', ', steps.look.labels[*].name)}}": "a cat & dog, tench",
    "{{max_by(steps.look.labels, &score).name}}": "a cat & dog",
    "{{ {a: {b: job.id}} }}": {"a": {"b": "job_1"}},
    "{{{a: job.id}}}": {"a": "job_1"},
    "{{'}} {{'}}": "}} {{",
    "{{{{x}}": "{{x}}",
    "{{{{{{job.id}}}}": "{{job_1}}",
    "} }} {": "} }} {",
    "{{step.attempt}}": 2,
}


@pytest.mark.parametrize(("text", "value"), GIVEN.items())
def test_an_expression_gives(text: str, value: Any) -> None:
    assert render(text, SCOPE) == value


def test_every_string_is_filled_and_no_name_of_a_field() -> None:
    value = {"{{job.id}}": ["{{job.id}}", 1, None, {"a": "{{step.name}}!"}]}
    assert render(value, SCOPE) == {"{{job.id}}": ["job_1", 1, None, {"a": "call!"}]}


FAILED = {
    "{{steps.look.labels[0].nam}}": "nothing is there; steps.look.labels[0] has: name, score",
    "{{steps.look.labels[2].name}}": "nothing is there; steps.look.labels has 2 elements",
    "{{steps.look.labels[-1].nam}}": "nothing is there; steps.look.labels[-1] has: name, score",
    "{{steps.look.labels[-3].name}}": "nothing is there; steps.look.labels has 2 elements",
    "{{steps.look.labels.name}}": "nothing is there; steps.look.labels is a list",
    "{{steps.look.n.x}}": "nothing is there; steps.look.n is a number",
    "{{steps.look.none}}": "nothing is there; steps.look.none is null",
    "{{steps.look.empty.x}}": "nothing is there; steps.look.empty is empty",
    "{{steps.my-step.y}}": "nothing is there; steps.my-step has: x",
    '{{steps."my step".y}}': "nothing is there; steps has: look, my-step, 3d",
    "{{schedule.fire_time}}": "nothing is there; there are: steps, job, step, secrets",
    "{{steps.look.labels[?score > `1`] | [0]}}": "gives null; write {{… || 'default'}}",
    "{{length(step.attempt)}}": "length() takes string, array, object, not number",
    "{{join('', steps.look.labels)}}": "join() takes array-string, not object",
    "{{'a' < `1`}}": "does not go together",
    "{{`1e999`}}": "JSON cannot carry",
    '{{"\\ud800" || `"\\ud800"`}}': "JSON cannot carry",
    "a {{ b": "write '{{{{'",
}


@pytest.mark.parametrize(("text", "why"), FAILED.items())
def test_an_expression_that_gives_nothing_says_why(text: str, why: str) -> None:
    with pytest.raises(ExpressionFailed, match=re.escape(why)) as caught:
        render(["x", text], SCOPE)
    assert str(caught.value) == f"{{{{{caught.value.expression}}}}}: {caught.value.why}"


@pytest.mark.parametrize("use", ["sum({})", "join({0}, [{0}, `1`])", "{}.x", "{} < `1`", "abs({})", "keys({})"])
def test_what_is_said_of_a_secret_does_not_show_it(use: str) -> None:
    with pytest.raises(ExpressionFailed) as caught:
        render(f"{{{{{use.format('secrets.crm')}}}}}", SCOPE)
    assert "tok-" not in str(caught.value)
    assert caught.value.__cause__ is None


FLAWED = {
    "{{stepss.look.n}}": "did you mean 'steps'?",
    "{{look.n}}": "did you mean 'steps.look'?",
    "{{weather.n}}": "there are: job, step, steps",
    "{{secrets.crm}}": "'secrets', which cannot stand here",
    "{{steps.other.n}}": "must name step 'other' in 'use'",
    "{{steps.my-stepp.n}}": "must name step 'my-stepp' in 'use'; did you mean 'my-step'?",
    "{{steps.look.a || steps.other.b}}": "must name step 'other' in 'use'",
    "{{steps.look.b[?c == `1`].d || length(steps.other[0].e[*].f) > `1`}}": "must name step 'other' in 'use'",
    "{{job.metdata.tag}}": "did you mean 'metadata'?",
    "{{@}}": "must begin with a name",
    "{{*.x}}": "must begin with a name",
    '{{steps.look.a || "none"}}': "text is written 'none'",
    "{{steps.look..n}}": ". at character 12 cannot stand there",
    "{{steps.my-step..n}}": ". at character 15 cannot stand there",
    "{{steps.look.n == 3}}": "3 at character 17 cannot stand there; a number is written `3`",
    "{{steps.look.n and job.id}}": "did you mean &&?",
    "{{steps.look.n = `3`}}": "= at character 14 cannot stand there; did you mean ==?",
    "{{steps.look.it's}}": "the ' at character 14 is not closed",
    "{{steps.look.it's}} and it's": "the ' at character 14 is not closed",
    "{{steps.look.}}": "it ends where more must follow",
    "{{ }}": "nothing stands between the braces",
    "{{`look`}}": "`look` at character 1 is no JSON; text is written 'look'",
    "{{`NaN`}}": "is no JSON",
    "{{lenght(job.id)}}": "there is no function lenght(); did you mean 'length'?",
    "{{join(job.id)}}": "join() takes 2 arguments, not 1",
    "{{not_null()}}": "not_null() takes at least 1 arguments, not 0",
    "{{map(job, steps)}}": "argument 1 of map() needs & before it",
    "{{to_string(&job)}}": "argument 1 of to_string() takes no &",
    "{{[&job]}}": "& stands only before",
    "{{my-func(job)}}": "the name of a function has no quotes and no dash",
    "{{steps.look[::0]}}": "the step of a slice cannot be 0",
    "{{" + "!" * 60 + "job}}": "nested too deeply",
    "{{" + "!" * 490 + "job}}": "nested too deeply",
    "{{'" + "a" * (MAX_TEXT - 1) + "'}}": f"longer than {MAX_TEXT} characters",
    "a {{job.id": "'{{' without '}}'",
}


@pytest.mark.parametrize(("text", "why"), FLAWED.items())
def test_the_door_says_what_is_wrong(text: str, why: str) -> None:
    [flaw] = flaws({"a/b": [text]}, at="/x", steps=("look", "my-step"), roots=ROOTS)
    assert flaw.pointer == "/x/a~1b/0"
    assert why in flaw.detail


@pytest.mark.parametrize("text", ["{{secrets}}", "{{secrets.*}}", "{{secrets | crm}}", "{{values(secrets)}}"])
def test_a_secret_is_named(text: str) -> None:
    [flaw] = flaws(text, at="", steps=(), roots=(*ROOTS, "secrets"))
    assert flaw.detail == f"{text} must name the secret: secrets.name"


@pytest.mark.parametrize(
    "text",
    [
        *("{{schedule.fire_time}}", "{{ schedule.name }}", "{{steps}}", "{{'a'}}", "no expression"),
        "{{'" + "a" * (MAX_TEXT - 2) + "'}}",
    ],
)
def test_the_door_lets_pass(text: str) -> None:
    assert flaws(text, at="", steps=(), roots=ROOTS) == []


def test_a_value_has_so_many_places_and_no_more() -> None:
    assert flaws(["{{job.id}}"] * MAX_PLACES, at="", steps=(), roots=ROOTS) == []
    assert flaws(["{{job.id}}"] * (MAX_PLACES + 5), at="", steps=(), roots=ROOTS) == [
        Flaw(pointer=f"/{MAX_PLACES}", detail=f"has more than {MAX_PLACES} expressions")
    ]
    assert len(render("{{job.id}}" * MAX_PLACES, SCOPE)) == MAX_PLACES * 5
    with pytest.raises(ExpressionFailed, match="no more are filled in"):
        render("{{job.id}}" * (MAX_PLACES + 1), SCOPE)


def test_what_a_value_speaks_of() -> None:
    value = {
        "a": "Bearer {{secrets.crm}} {{ secrets.old || join('', [secrets.x[*], step.id]) }}",
        "{{secrets.field}}": ["{{job.id}}", "{{{{secrets.literal}}", "{{no expression"],
    }
    assert names(value, "secrets") == {"crm", "old", "x"}
    assert roots_of(value) == {"secrets", "step", "job"}
    assert names("{{steps.my-step[0].x}}", "steps") == {"my-step"}


def test_what_is_filled_in_has_its_limit() -> None:
    scope = {"job": {"fits": "x" * MAX_FILLED_BYTES, "large": "é" * (MAX_FILLED_BYTES // 2) + "x"}}
    assert render("{{job.fits}}", scope) == scope["job"]["fits"]
    with pytest.raises(ExpressionFailed, match=f"gives {MAX_FILLED_BYTES + 1} bytes"):
        render("{{job.large}}", scope)
    with pytest.raises(ExpressionFailed, match="gives too much"):
        render(["{{job.fits}}"] * 100, scope)
    deep = json.loads("[" * 65 + "]" * 65)
    assert render("{{job}}", {"job": deep[0]}) == deep[0]
    with pytest.raises(ExpressionFailed, match="more than 64 levels"):
        render("{{job}}", {"job": deep})


BOMBS = {
    "a text that doubles": "job.text|" + "|".join(["join('',[@,@])"] * 29),
    "a list that doubles": "job|" + "|".join([*["[@,@]"] * 15, *["[]"] * 14]),
    "a list that doubles within itself": "job.list[*]." + ".".join(["[@,@]"] * 31),
    "the text of a list that doubles": f"to_string(job|{'|'.join(['[@,@]'] * 28)})",
    "comparing lists that double": f"(job|{'|'.join(['[@,@]'] * 25)}) == (job|{'|'.join(['[@,@]'] * 25)})",
    "a long glue": "join(job.text, job.words) == 'x'",
    "a long name": f"length(job.some[*].{{{'a' * 450}: @}})",
    "a literal everywhere": f"length(to_string(map(&`{[1] * 80}`, job.list)))",
    "each with each": "job.list[*].to_string(@) | map(&length(@), @) | [?@ == `1`] | sum(@)",
}


@pytest.mark.parametrize("expression", BOMBS.values(), ids=BOMBS)
def test_no_expression_grows_beyond_measure(expression: str) -> None:
    numbers = list(range(60_000))
    scope = {"job": {"text": "x" * 10_000, "list": numbers, "some": numbers[:20_000], "words": ["x"] * 2000}}
    with pytest.raises(ExpressionFailed, match=r"takes too long|gives too much|nested too deeply"):
        render(f"{{{{{expression}}}}}", scope)


URLS = {
    "https://crm.example/{{steps.look.labels[0].name}}?q={{job.metadata.tag}}#{{job.metadata.tag}}": (
        "https://crm.example/a%20cat%20%26%20dog?q=t%2F1#t%2F1"
    ),
    "{{steps.look.url}}": SCOPE["steps"]["look"]["url"],
    "{{steps.look.url}}&d={{job.metadata.tag}}": "https://crm.example/in?a=1&b=%20#c&d=t%2F1",
    "https://{{job.metadata.host}}.example:{{steps.look.n}}/x": "https://eu.crm.example:3/x",
    "https://crm.example/?q={{job.metadata.nil}}&r={{job.metadata.up}}": "https://crm.example/?q=&r=..",
    "https://crm.example/v{{job.metadata.nil}}/{{job.metadata.up}}.txt": "https://crm.example/v/...txt",
    "https://crm.example/{{{{x}}?a=%7B": "https://crm.example/{{x}}?a=%7B",
    "{{job.metadata.nil}}{{job.metadata.tag}}": "t%2F1",
    "https://crm.example/a b": "https://crm.example/a b",
}


@pytest.mark.parametrize(("text", "url"), URLS.items())
def test_what_is_filled_into_a_url_is_encoded_for_its_place(text: str, url: str) -> None:
    assert render_url(text, SCOPE) == url


ELSEWHERE = {
    "https://{{job.metadata.tag}}/": "name of a host",
    "https://{{job.metadata.nil}}.example/": "name of a host",
    "https://{{'crm.example:1'}}/": "name of a host",
    "https://crm.example:{{steps.look.url}}/": "name of a host",
    "https://me@{{steps.look.labels[0].name}}/": "name of a host",
    "https://crm.example/{{job.metadata.up}}/keys": "only dots",
    "https://crm.example/.{{'.'}}?a=b": "only dots",
    "https://crm.example/{{job.metadata.nil}}{{'.'}}": "only dots",
    "https://crm.example/users/{{job.metadata.nil}}/": "a part of the path empty",
    "https://crm.example/users/{{job.metadata.nil}}": "a part of the path empty",
}


@pytest.mark.parametrize(("text", "why"), ELSEWHERE.items())
def test_what_is_filled_in_does_not_lead_elsewhere(text: str, why: str) -> None:
    with pytest.raises(ExpressionFailed, match=why):
        render_url(text, SCOPE)


def test_the_documentation_speaks_the_same_language() -> None:
    """Every row of the table with an expression and what it gives is as it says."""
    told = (ROOT / "docs" / "expressions.md").read_text()
    scope = json.loads(told.split("```json")[1].split("```")[0])
    rows = re.findall(r"^\| (`+)(\S.*?)\1 \| `(.*?)` \|$", told, re.MULTILINE)
    shown = [(text, gives) for _, text, gives in rows if "{{" in text]
    assert len(shown) == 12
    for text, gives in shown:
        assert json.dumps(render(text.replace("\\|", "|"), scope), ensure_ascii=False) == gives, text
