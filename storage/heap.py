"""What the garbage collector has to look through."""

import gc


def settled() -> None:
    """Call it when a process has started: what is there by now stays, and is not looked through again.

    A full collection walks over every object. Over those that an API has loaded, modules and routes above all, that
    takes a tenth of a second, in which everybody waits.
    """
    gc.freeze()
