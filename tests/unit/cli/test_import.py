"""The command line while its modules are imported."""

import subprocess
import sys


def test_the_command_line_does_without_locust() -> None:
    """Importing Locust would replace sockets and processes with gevent's, which the supervisor of a stack must not."""
    code = "import sys, loadtest.cli; print('locust' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("False", "")


def test_ctrl_c_while_the_command_line_is_imported_is_no_traceback() -> None:
    """It ends with the exit code of an interrupted run."""
    code = (
        "import sys, types\n"
        "class Raising(types.ModuleType):\n"
        "    def __getattr__(self, name): raise KeyboardInterrupt\n"
        "sys.modules['loadtest.cli'] = Raising('loadtest.cli')\n"
        "from loadtest.__main__ import main; main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
