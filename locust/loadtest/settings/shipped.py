"""Shipped: files that come with the product: the locustfile, profiles, thresholds, the Compose stack.

In a checkout they are in the repository; in an installed package they are in its folder `shipped`, under the same
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
"""The cache shared by all runs: that of the checkout or, for an installed package, that of the user."""
CONF_DIR = Path("local_conf")
"""The user's own configuration, in the folder where a run starts."""
LOCUSTFILE = ROOT / "locust" / "locustfile.py"


def own_or_shipped(file: Path) -> Path:
    """Return a file of the current folder or, if missing, the shipped one of the same path, if any."""
    return ROOT / file if not untrusted.is_there(file) and untrusted.is_there(ROOT / file) else file
