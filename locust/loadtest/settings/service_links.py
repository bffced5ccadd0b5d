"""The variables that Kubernetes sets in every pod for each Service of its namespace, and that look like settings.

Those of a Service ``loadtest`` begin like this product's, those of ``locust-web`` like Locust's own. See "Environment
variables" in the Kubernetes documentation of Services.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_SERVICE_LINK = re.compile(r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://.*")


def is_service_link(name: str, value: str) -> bool:
    """Tell whether Kubernetes set a variable for a Service."""
    return bool(_SERVICE_LINK.fullmatch(name) or (name.endswith("_PORT") and _SERVICE_ADDRESS.fullmatch(value)))


def forget_service_links(environ: MutableMapping[str, str]) -> None:
    """Remove the variables of a Service such as ``locust-web``, which Locust would read as its own options."""
    for name, value in list(environ.items()):
        if name.startswith("LOCUST_") and is_service_link(name, value):
            del environ[name]
