"""`python -m loadtest` and the command `loadtest`."""

import sys

from loadtest.exceptions import ExitCode, raise_signals


def main() -> None:
    """Run the command line. A signal while its modules are being imported ends it like a later one."""
    raise_signals()
    try:
        from loadtest.cli import main as command  # noqa: PLC0415 - the imports take most of a second
    except KeyboardInterrupt as interruption:
        sys.stderr.write(f"{interruption}\n")
        sys.exit(ExitCode.INTERRUPTED)
    command()


if __name__ == "__main__":
    main()
