"""The scaler is killed: its workers work on, and the next one finds them again and goes on from what was remembered."""

import psutil

from scheduler import notes
from scheduler.notes import Note
from tests.faults.load import load, nothing_is_lost
from tests.faults.stack import Stack
from tests.waiting import until


def workers(stack: Stack) -> dict[str, Note]:
    return {note.replica: note for note in notes.read(stack.home / "workers")}


def test_workers_outlive_their_scaler_and_are_adopted(stack: Stack) -> None:
    before = workers(stack)
    with load(stack) as sent:
        until(lambda: len(sent.accepted) >= 6)
        killed = stack.pid("scaler")
        psutil.Process(killed).kill()
        until(lambda: stack.processes().get("scaler", killed) != killed, seconds=30)
        decided = stack.now()
        until(lambda: stack.rows("SELECT FROM pools WHERE decided_at > %s", decided), seconds=30)
    assert workers(stack) == before
    nothing_is_lost(stack, sent.accepted, within=20)
