"""Shipped: the files that come with the product: the locustfile, profiles, thresholds, the Compose stack.

In a checkout they lie where the repository has them; in an installed package, in its folder `shipped`, under the same
paths.

Tested in tests/native/test_installed.py.
"""

import os
from pathlib import Path

from loadtest import untrusted

_CHECKOUT = Path(__file__).parents[3]
IS_CHECKOUT = (_CHECKOUT / "locust" / "locustfile.py").is_file()
ROOT = _CHECKOUT if IS_CHECKOUT else Path(__file__).parents[1] / "shipped"
"""The folder that holds the files."""
_USERS_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
CACHE = _CHECKOUT / ".cache" if IS_CHECKOUT else _USERS_CACHE / "loadtest"
"""What is made once for all runs: the checkout's own, or, of an installed package, the user's."""
CONF_DIR = Path("local_conf")
"""Where a user's own configuration lies, in the folder of a run."""
LOCUSTFILE = ROOT / "locust" / "locustfile.py"


def own_or_shipped(file: Path) -> Path:
    """Return a file of the present folder; where it is missing, the shipped one of the same path, if there is one."""
    return ROOT / file if not untrusted.is_there(file) and untrusted.is_there(ROOT / file) else file
