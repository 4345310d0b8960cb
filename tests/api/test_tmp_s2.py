from schemathesis.engine import events, from_schema
from tests.api.test_fuzz import published, flaws  # noqa
def test_it(published):
    wrong={}; asked=0
    for event in from_schema(published.include(path_regex="^/v1/secrets")).execute():
        if isinstance(event, events.ScenarioFinished):
            asked += len(event.recorder.interactions); wrong |= flaws(event)
        elif isinstance(event, events.NonFatalError): wrong[event.label]=str(event.info)
        elif isinstance(event, events.FatalError): raise event.exception
    print("ASKED", asked)
    assert not wrong, "\n\n".join(f"{a}\n{b}" for a,b in wrong.items())
