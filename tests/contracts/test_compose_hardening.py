"""docker-compose.yml gives each service only the permissions it needs; any that is not listed here fails."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
RUNS_AS_ITS_IMAGE_SAYS = {"prometheus"}
"""Its volume belongs to the image's own user (65534); another one could not write there."""
HARDENED = {
    "init": True,
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "pids_limit": 512,
    "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
}
LIMITED = {"cpu_shares", "mem_limit", "memswap_limit", "stop_grace_period"}
FREE = {"image", "build", "command", "entrypoint", "environment", "env_file", "depends_on", "healthcheck", "profiles"}
"""These say what a service is. A test has the others one by one, as each of them could open a way out."""
TESTED = {"user", "tmpfs", "volumes", "networks", "ports", "restart", "extra_hosts"}
ADDED = {"secrets.yml": {"environment", "secrets"}, "own_redis.yml": {"entrypoint", "command", "volumes", "networks"}}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_is_hardened(name: str) -> None:
    """A service has no root, no capability, no new privilege, a read-only root, and limits on all it could exhaust."""
    service = SERVICES[name]
    assert {key: service.get(key) for key in HARDENED} == HARDENED
    assert set(service) - FREE - TESTED == set(HARDENED) | LIMITED
    assert int(re.fullmatch(r"(\d+)m", service["mem_limit"].replace("g", "000m"))[1]) <= 2000  # type: ignore[index]
    assert service["memswap_limit"] == service["mem_limit"]  # no swap: it would be latency of the system under test
    if name not in RUNS_AS_ITS_IMAGE_SAYS:
        assert int(re.sub(r"\$\{RUN_AS:-(.+)\}", r"\1", service["user"]).partition(":")[0]) > 0
    assert all(re.fullmatch(r"/\w+(/\w+)*", place) for place in service.get("tmpfs", []))  # with no option
    assert service.get("extra_hosts", ["host.docker.internal:host-gateway"]) == ["host.docker.internal:host-gateway"]


def test_what_is_added_takes_no_hardening_away() -> None:
    """The files for logins and for an external Redis do not change users, privileges or limits."""
    for file, keys in ADDED.items():
        added = yaml.safe_load((ROOT / "docker" / file).read_text())
        assert set().union(*added["services"].values()) == keys


def test_only_workers_start_again() -> None:
    """A service that dies during a run is noticed, not replaced by one without its state."""
    found = {name: service["restart"] for name, service in SERVICES.items() if "restart" in service}
    assert found == {"locust_worker": "unless-stopped"}


def test_what_watches_yields_the_processor() -> None:
    """Where cores are short, dashboards and exporters yield to the generator and the service under test."""
    shares = {name: service["cpu_shares"] for name, service in SERVICES.items()}
    watching = {"prometheus", "grafana", "redis_exporter"}
    assert shares == {name: 256 if name in watching else 1024 for name in SERVICES}


def test_mounts_are_read_only_and_exist() -> None:
    """Every folder of the repository is mounted read-only, with a label for SELinux, and exists in a fresh clone.

    A volume has no such option: Compose warns of it at each command.
    """
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source, _, mode = (*re.sub(r"\$\{\w+:-(.+?)\}", r"\1", volume).split(":"), "")[:3]
            if source.startswith("./"):
                assert mode == "ro,z"
                assert (ROOT / source).is_dir()
            else:
                assert (source in COMPOSE["volumes"], mode) == (True, "")


def test_prometheus_takes_no_orders() -> None:
    """Clients may query it, but can neither delete series nor shut it down."""
    options = {word.partition("=")[0] for word in SERVICES["prometheus"]["command"]}
    assert not {"--web.enable-admin-api", "--web.enable-lifecycle", "--web.enable-remote-write-receiver"} & options


def test_the_start_needs_no_secret() -> None:
    """Without `make up` Grafana has no administrator and takes no login, and no file of secrets is read."""
    environment = SERVICES["grafana"]["environment"]
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_USERS_ALLOW_SIGN_UP"] == environment["GF_PLUGINS_PLUGIN_ADMIN_ENABLED"] == "false"
    assert environment["GF_SECURITY_CONTENT_SECURITY_POLICY"] == "true"
    assert "secrets" not in {key for service in SERVICES.values() for key in service}
    words = re.findall(r"(?i).*(?:password|passwd).*", (ROOT / "docker-compose.yml").read_text())
    assert [word.strip() for word in words] == [
        "REDIS_PASSWORD: none"
    ]  # of a user without a password, whose clients must still send one
