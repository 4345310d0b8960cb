"""`python -m api.cli`: the same as `millrace`."""

from api.cli.commands import main

main()
