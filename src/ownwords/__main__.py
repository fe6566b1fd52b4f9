"""`ownwords` and `python -m ownwords`: little enough that signals are heard before anything is imported."""

from __future__ import annotations

import sys


def main() -> None:
    try:
        from ownwords.io.process import hear_signals, open_streams, wait_asleep

        hear_signals()
        open_streams()
        wait_asleep()
        from ownwords.cli.app import main as run

        run()
    except KeyboardInterrupt:  # while all this was being imported
        print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
