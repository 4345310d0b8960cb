"""`python -m tests.images.fuzz --count 20000 --seed 1`: damages pictures and puts them through the engines; 0 if none
of them dies, hangs, raises what it should not, or makes a picture of what cannot be read."""

import argparse
import sys
from contextlib import suppress
from pathlib import Path

from tests.images.corpus import cache, fetched
from tests.images.fuzzing import Found, bases, fuzzed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.images.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the number of the first file, to see one again")
    parser.add_argument("--keep", type=Path, help="where files with faults are written to")
    asked = parser.parse_args()

    known = Found()

    def tell(found: Found) -> None:
        nonlocal known
        known = found
        if sys.stderr.isatty():
            print(f"\r{found.count:,} of {asked.count:,}", end="", file=sys.stderr)

    good = bases(fetched(cache()))
    with suppress(KeyboardInterrupt):  # which ends it early, with what is known by then
        fuzzed(good, count=asked.count, seed=asked.seed, first=asked.first, keep=asked.keep, tell=tell)
    print(known.report())
    return 1 if known.faults else 0


if __name__ == "__main__":
    sys.exit(main())
