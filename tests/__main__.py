"""`python -m tests`: all tests, in two processes beside each other, with servers of their own. 0 if all pass."""

import subprocess
import sys
import tempfile

BESIDE = ("tests/faults", "tests/e2e", "tests/tasks/vision", "tests/vision", "tests/tasks/test_cron_dst.py")  # half
PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider")


def main() -> int:
    """Show the others as they go, and then what became of those that ran beside them."""
    with tempfile.TemporaryFile() as output:
        beside = subprocess.Popen([*PYTEST, *BESIDE], stdout=output, stderr=subprocess.STDOUT)
        try:
            others = subprocess.run([*PYTEST, *(f"--ignore={folder}" for folder in BESIDE)], check=False).returncode
            print(f"\nWhat ran beside these ({', '.join(BESIDE)}):", flush=True)
            status = beside.wait()
        except KeyboardInterrupt:  # the terminal has told both
            status = others = beside.wait()
        output.seek(0)
        sys.stdout.buffer.write(output.read())
    return others or status


if __name__ == "__main__":
    sys.exit(main())
