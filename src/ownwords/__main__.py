"""`python -m ownwords`."""

from ownwords.cli.app import main

main()
