"""The variables of Kubernetes' Services, which look like settings."""

from pathlib import Path

import pytest

from loadtest.exceptions import UsageError
from loadtest.settings.config import Config
from loadtest.settings.service_links import forget_service_links


def load(environ: dict[str, str]) -> Config:
    """Load a Config from an environment alone."""
    return Config.load(environ=environ, file=Path("/nonexistent/loadtest.env"))


def test_variables_that_kubernetes_makes_are_no_settings() -> None:
    """Services ``loadtest`` and ``loadtest-exporter`` in the namespace give every pod variables with this prefix."""
    links = {
        "LOADTEST_SERVICE_HOST": "10.96.0.7",
        "LOADTEST_SERVICE_PORT_HTTP": "80",
        "LOADTEST_PORT": "tcp://10.96.0.7:80",
        "LOADTEST_PORT_80_TCP_ADDR": "10.96.0.7",
        "LOADTEST_EXPORTER_PORT": "tcp://10.96.0.8:9646",
    }
    assert load(links) == load({})
    with pytest.raises(UsageError, match="LOADTEST_PORT"):
        load({"LOADTEST_PORT": "80"})


def test_locust_takes_no_variables_that_kubernetes_makes() -> None:
    """A Service ``locust-web`` would be the port of its web UI; tests/native/test_several_machines.py runs with one."""
    links = {"LOCUST_WEB_PORT": "tcp://10.96.0.7:8089", "LOCUST_WEB_SERVICE_HOST": "10.96.0.7"}
    kept = {"LOCUST_MASTER_BIND_PORT": "5558", "LOCUST_HOST": "http://shop", "SHOP_PORT": "tcp://10.96.0.9:80"}
    environ = kept | links | {"LOCUST_WEB_PORT_8089_TCP": "tcp://10.96.0.7:8089"}
    forget_service_links(environ)
    assert environ == kept
