"""`loadtest` as tests call it."""

from click.testing import CliRunner, Result

from loadtest import cli


def invoke(*arguments: str) -> Result:
    """Run `loadtest` with these arguments and no settings in the environment."""
    return CliRunner(env={"LOADTEST_EXPORTER_PORT": "0", "LOADTEST_TARGET_PORT": "0"}).invoke(cli.main, arguments)
