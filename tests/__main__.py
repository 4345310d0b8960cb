"""`python -m tests`: all tests; the fault tests, which mostly wait, run beside the others. Exits with 0 if all pass."""

import subprocess
import sys
import tempfile

FAULTS = "tests/faults"
PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider")


def main() -> int:
    """Show the others as they go, and then what became of the fault tests."""
    with tempfile.TemporaryFile() as output:
        faults = subprocess.Popen([*PYTEST, FAULTS], stdout=output, stderr=subprocess.STDOUT)
        try:
            others = subprocess.run([*PYTEST, f"--ignore={FAULTS}"], check=False).returncode
            print("\nThe fault tests, which ran beside these:", flush=True)
            status = faults.wait()
        except KeyboardInterrupt:  # the terminal has told both
            status = others = faults.wait()
        output.seek(0)
        sys.stdout.buffer.write(output.read())
    return others or status


if __name__ == "__main__":
    sys.exit(main())
