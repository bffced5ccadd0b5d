"""`python -m loadtest`: the command, where it is not installed, as in the images."""

from loadtest.cli import main

if __name__ == "__main__":
    main()
