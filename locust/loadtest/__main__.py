"""`python -m loadtest` and the command `loadtest`."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C while its modules are still being imported ends it like any other."""
    try:
        from loadtest.cli import main as command  # noqa: PLC0415 - the imports take most of a second
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
