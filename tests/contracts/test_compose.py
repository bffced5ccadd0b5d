"""docker-compose.yml keeps its promises: hardened, loopback only, ordered, readable by old and new Compose."""

import copy
import http.server
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from loadtest.measuring import spans
from loadtest.settings.config import STACK_REDIS_URL, Config, variable

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"
TEXT = COMPOSE_FILE.read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
OVERRIDABLE_IMAGES = {
    "PYTHON_IMAGE",
    "REDIS_IMAGE",
    "PROMETHEUS_IMAGE",
    "GRAFANA_IMAGE",
    "REDIS_EXPORTER_IMAGE",
    "MONGO_IMAGE",
}
SECRETS = {"web_password", "link_key", "grafana_admin_password", "grafana_secret_key"}
WITHOUT_A_HEALTH_CHECK = {"redis_exporter", "duet"}
"""The first has no shell; the second runs and ends, and nothing waits for it."""


def test_the_services_are_the_documented_ones() -> None:
    """The stack has these seven services; MongoDB and a duet are optional."""
    expected = {"redis", "target_app", "locust_master", "locust_worker", "prometheus", "grafana", "redis_exporter"}
    assert {name for name, service in SERVICES.items() if "profiles" not in service} == expected
    assert {name: service["profiles"] for name, service in SERVICES.items() if name not in expected} == {
        "mongo": ["mongo"],
        "target_base": ["duet"],
        "duet": ["duet"],
    }


def test_both_versions_of_a_duet_meet_the_same_terms() -> None:
    """Limits, networks and settings are the same; each has a database of its own; only the new one is published."""
    base, new = copy.deepcopy([SERVICES["target_base"], SERVICES["target_app"]])
    databases = [re.sub(r"\$\{\w+:-(.+)\}", r"\1", one["environment"].pop("REDIS_URL")) for one in (base, new)]
    assert databases == ["redis://target_app@redis:6379/1", "redis://target_app@redis:6379/0"]
    assert (base.pop("profiles"), base["build"].pop("context")) == (["duet"], "${BASE_DIR:-.}")
    assert (len(new.pop("ports")), new["build"].pop("context")) == (1, ".")
    assert base == new


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_ports_are_published_on_the_loopback_interface_only(name: str) -> None:
    """Every published port is bound to 127.0.0.1 and its number can be changed by a variable."""
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z]+_PORT:-(\d+)\}:\1", port)


def test_workers_can_be_scaled() -> None:
    """A worker has no port and nothing has a fixed container name: either would allow only one."""
    assert "ports" not in SERVICES["locust_worker"]
    assert "container_name" not in TEXT


def test_every_image_can_be_replaced() -> None:
    """Each image comes from a variable with a default, so that mirrors can be used."""
    images = [service["image"] for service in SERVICES.values() if "image" in service]
    images += [service["build"]["args"]["PYTHON_IMAGE"] for service in SERVICES.values() if "build" in service]
    matches = [re.fullmatch(r"\$\{([A-Z_]+_IMAGE):-[^$]+:[^$]+\}", image) for image in images]
    assert {match.group(1) for match in matches if match} == OVERRIDABLE_IMAGES
    assert len([match for match in matches if match]) == len(images)


def test_nothing_breaks_or_misleads_docker_compose_1_29() -> None:
    """The file uses only what Compose v2 and docker-compose 1.29.2 parse alike."""
    assert {key for key in COMPOSE if not key.startswith("x-")} == {"services", "networks", "volumes"}
    assert re.findall(r"\$\{[^}]*\$", TEXT) == []  # nested substitution is silently wrong in 1.29.2
    for service in SERVICES.values():
        assert {"configs", "develop", "deploy", "pull_policy", "extends"} & set(service) == set()
        assert all(isinstance(file, str) for file in service.get("env_file", []))
        assert "start_interval" not in service.get("healthcheck", {})


def test_services_wait_for_healthy_ones() -> None:
    """Each dependency has a health check, and dependent services wait until it is healthy."""
    order = {name: sorted(service["depends_on"]) for name, service in SERVICES.items() if service.get("depends_on")}
    expected = {
        "target_app": ["redis"],
        "target_base": ["redis"],
        "duet": ["target_app", "target_base"],
        "redis_exporter": ["redis"],
        "locust_master": ["target_app"],
        "prometheus": ["locust_master"],
        "locust_worker": ["locust_master", "prometheus"],
        "grafana": ["prometheus"],
    }
    assert order == expected
    for service in SERVICES.values():
        for dependency, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}
            assert "healthcheck" in SERVICES[dependency]
    assert {name for name, service in SERVICES.items() if "healthcheck" not in service} == WITHOUT_A_HEALTH_CHECK


def test_what_is_private_is_not_published() -> None:
    """Master and workers may do without password and key, because only 127.0.0.1 leads to them."""
    for name in ("locust_master", "locust_worker"):
        assert SERVICES[name]["environment"]["LOADTEST_PRIVATE_NETWORK"] == "1"
        assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))
    assert all(not port.endswith(":5557") for service in SERVICES.values() for port in service.get("ports", []))


def test_redis_is_reachable_inside_only() -> None:
    """Redis and its exporter are on internal networks only; a service with a published port is on another, too."""
    networks = COMPOSE["networks"]
    assert networks["data"] == networks["store"] == {"internal": True}
    assert SERVICES["redis_exporter"]["networks"] == SERVICES["mongo"]["networks"] == ["data"]
    assert SERVICES["redis"]["networks"] == ["data", "store"]
    for service in SERVICES.values():
        if service.get("ports"):
            assert {"edge", "target"} & set(service["networks"])


def test_the_service_under_test_shares_networks_with_few() -> None:
    """It shares them with its store and with the services that send it requests or scrape it; it has no way out."""
    own = set(SERVICES["target_app"]["networks"])
    beside = {name: own & set(service["networks"]) for name, service in SERVICES.items() if name != "target_app"}
    assert {name: shared for name, shared in beside.items() if shared} == {
        "redis": {"store"},
        "locust_worker": {"target"},
        "prometheus": {"target"},
        "target_base": {"target", "store"},
        "duet": {"target"},
    }
    assert COMPOSE["networks"]["target"] == {"driver_opts": {"com.docker.network.bridge.enable_ip_masquerade": "false"}}


def test_prometheus_listens_where_the_service_under_test_is_not() -> None:
    """It listens for its health check, and under its name on the network of the published ports."""
    (name,) = SERVICES["prometheus"]["networks"]["edge"]["aliases"]
    listens = [word for word in SERVICES["prometheus"]["command"] if word.startswith("--web.listen-address=")]
    assert [word.partition("=")[2] for word in listens] == ["127.0.0.1:9090", f"{name}:9090"]
    assert SERVICES["prometheus"]["networks"]["target"] == {}


def test_a_checkout_that_containers_cannot_read_is_named(tmp_path: Path) -> None:
    """With a umask of 077, or CRLF line ends, the first container says what to do; otherwise it starts Redis."""
    shell, option, script = SERVICES["redis"]["entrypoint"]
    assert (shell, option, script.endswith("exec /bin/sh /etc/redis/start.sh")) == ("/bin/sh", "-c", True)
    script = script.replace("/etc/redis/start.sh", str(tmp_path / "start.sh"))
    done = subprocess.run([shell, option, script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: the containers cannot read this folder" in done.stderr
    assert "Next: chmod -R go+rX docker local_conf" in done.stderr
    (tmp_path / "start.sh").write_bytes(b"echo started\r\n")
    done = subprocess.run([shell, option, script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: docker/redis/start.sh has CRLF line ends.")
    (tmp_path / "start.sh").write_text("echo started\n")
    done = subprocess.run([shell, option, script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "started\n", "")


def test_files_keep_their_line_ends_on_every_machine() -> None:
    """Every text file has LF line ends in the repository, and in a checkout on Windows too."""
    listing = ["git", "ls-files", "--eol"]
    said = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    texts = [line.split("\t")[0].split() for line in said if not line.startswith("i/-text")]
    assert {(ends, *attributes) for ends, _, *attributes in texts} <= {
        (ends, "attr/text=auto", "eol=lf") for ends in ("i/lf", "i/none")
    }
    assert len(texts) > 100


@pytest.mark.parametrize("file", ["tcp", "tcp6"])
def test_a_worker_connected_by_either_protocol_is_healthy(tmp_path: Path, file: str) -> None:
    """The health check finds a connection to the master's port over IPv4 and over IPv6, and only there."""
    command = [
        word.replace("/proc/net", str(tmp_path)) for word in SERVICES["locust_worker"]["healthcheck"]["test"][1:]
    ]
    (tmp_path / file).write_text("0: 0100007F:15B5 00000000:0000 0A\n")
    assert subprocess.run(command, check=False).returncode != 0
    (tmp_path / file).write_text("0: 0100007F:B0A2 0100007F:15B5 01 00000000:00000000\n")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_redis_elsewhere_takes_the_place_of_the_stacks(tmp_path: Path) -> None:
    """Its URL, from a file or the environment, reaches target, master and workers; the target then has a way out."""
    added = yaml.safe_load((ROOT / "docker" / "own_redis.yml").read_text())
    of_services = {name: SERVICES[name]["environment"]["REDIS_URL"] for name in added["services"]}
    assert of_services == {
        "target_app": "${REDIS_URL:-redis://target_app@redis:6379/0}",
        "locust_master": f"${{REDIS_URL:-{STACK_REDIS_URL}}}",
        "locust_worker": f"${{REDIS_URL:-{STACK_REDIS_URL}}}",
    }
    assert [name for name in added["services"] if "outside" in added["services"][name].get("networks", [])] == [
        "target_app"
    ]
    dockerfile = (ROOT / "docker" / "target_app.Dockerfile").read_text()
    assert f"CMD {json.dumps(added['services']['target_app']['command'])}" in dockerfile
    (url := tmp_path / "url").write_text("rediss://user:a word@redis.example.com:6380/0\n")
    for service in added["services"].values():
        shell, option, script = service["entrypoint"]
        for folder, expected in ((tmp_path, url.read_text().strip()), (tmp_path / "none", "redis://else")):
            here = script.replace("$$", "$").replace("/run/redis", str(folder))
            command = [shell, option, here, "sh", "-c", 'echo "$REDIS_URL" "$0"', "more"]
            done = subprocess.run(
                command, env={"REDIS_URL": "redis://else"}, capture_output=True, text=True, check=True
            )
            assert done.stdout == f"{expected} more\n"


def test_make_up_turns_logins_on() -> None:
    """The file that `make up` adds closes what a plain start leaves open, using generated secrets."""
    added = yaml.safe_load((ROOT / "docker" / "secrets.yml").read_text())
    environment = added["services"]["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "false"
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "false"
    files = {secret["file"] for secret in added["secrets"].values()}
    assert {f"./secrets/{name}" for name in SECRETS} == files
    for name in ("locust_master", "locust_worker"):
        given = {key: value for key, value in added["services"][name]["environment"].items() if key.endswith("_FILE")}
        assert list(given.values()) == [f"/run/secrets/{secret}" for secret in added["services"][name]["secrets"]]


def test_secrets_are_made_once_and_for_the_owner_only(tmp_path: Path) -> None:
    """make_secrets.sh makes long random files in a folder that only the owner can enter; it keeps existing ones."""
    script = tmp_path / "local_conf" / "make_secrets.sh"
    script.parent.mkdir()
    script.write_bytes((ROOT / "local_conf" / "make_secrets.sh").read_bytes())
    read = []
    for _ in range(2):
        subprocess.run(["sh", str(script)], check=True, capture_output=True)
        read.append({file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()})
    assert read[1] == read[0]
    assert set(read[0]) == SECRETS
    assert {len(secret) for secret in read[0].values()} == {32}
    assert len(SECRETS) == len(set(read[0].values()))
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700


WITH_LOGINS = "docker-compose.yml:docker/secrets.yml"


@pytest.mark.parametrize(
    ("there", "after"),
    [
        (None, f"COMPOSE_FILE={WITH_LOGINS}\n"),
        ("WEB_PORT=9000", f"WEB_PORT=9000\nCOMPOSE_FILE={WITH_LOGINS}\n"),
        ("# COMPOSE_FILE=x.yml\n", f"# COMPOSE_FILE=x.yml\nCOMPOSE_FILE={WITH_LOGINS}\n"),
        (f"COMPOSE_FILE={WITH_LOGINS}:mine.yml\n", f"COMPOSE_FILE={WITH_LOGINS}:mine.yml\n"),
    ],
    ids=["no .env", "no end of line", "a comment", "with more files"],
)
def test_logins_are_kept_in_the_file_that_compose_reads(tmp_path: Path, there: str | None, after: str) -> None:
    """Every Compose command after `make up` uses the logins: .env enables them once, and keeps its other content."""
    if there is not None:
        (tmp_path / ".env").write_text(there)
    for _ in range(2):
        done = _keep_logins(tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert (tmp_path / ".env").read_text() == after


def test_a_start_without_logins_is_refused_when_logins_were_asked_for(tmp_path: Path) -> None:
    """`make up` fails if the shell or .env sets another COMPOSE_FILE, which Compose would follow."""
    done = _keep_logins(tmp_path, COMPOSE_FILE="docker-compose.yml")
    assert (done.returncode, (tmp_path / ".env").exists()) == (2, False)
    assert "error: the shell sets COMPOSE_FILE=docker-compose.yml, so" in done.stderr
    (tmp_path / ".env").write_text("COMPOSE_FILE=docker-compose.yml\n")
    done = _keep_logins(tmp_path)
    assert (done.returncode, "error: .env sets COMPOSE_FILE=docker-compose.yml, so" in done.stderr) == (2, True)
    assert (tmp_path / ".env").read_text() == "COMPOSE_FILE=docker-compose.yml\n"


def _keep_logins(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run keep_logins.sh for a folder."""
    script = folder / "local_conf" / "keep_logins.sh"
    script.parent.mkdir(exist_ok=True)
    script.write_bytes((ROOT / "local_conf" / "keep_logins.sh").read_bytes())
    environment = {key: value for key, value in os.environ.items() if key != "COMPOSE_FILE"} | variables
    return subprocess.run(["sh", str(script)], env=environment, capture_output=True, text=True, check=False)


def test_secrets_are_never_committed() -> None:
    """Git ignores the secrets folder and .env, and images do not contain them."""
    assert {"secrets/", ".env"} <= set((ROOT / ".gitignore").read_text().splitlines())
    assert "!secrets" not in (ROOT / ".dockerignore").read_text()


def test_master_and_workers_get_settings_that_exist() -> None:
    """Each LOADTEST_ variable in the file is a setting, and the ports inside are the settings' defaults."""
    known = {variable(setting) for setting in Config.model_fields}
    for name in ("locust_master", "locust_worker"):
        given = {key for key in SERVICES[name]["environment"] if key.startswith("LOADTEST_")}
        assert given <= known
    inside = {port.rpartition(":")[2] for port in SERVICES["locust_master"]["ports"]}
    defaults = Config.model_fields["web_port"].default, Config.model_fields["exporter_port"].default
    assert inside == {str(port) for port in defaults}


def test_every_setting_reaches_the_containers() -> None:
    """Every setting of a run can be set in Compose, except those that its ports, services and `--scale` decide."""
    decided_here = {f"LOADTEST_{name}" for name in ("WORKERS", "UI", "WEB_PORT", "EXPORTER_PORT", "TARGET_PORT")}
    decided_here |= {"LOADTEST_BASELINE", "LOADTEST_UNTIL_DECIDED"}  # `loadtest compare` runs outside Compose
    decided_here |= {"LOADTEST_WEB_PASSWORD_FILE", "LOADTEST_LINK_KEY_FILE"}  # by `make up`
    decided_here.add("LOADTEST_EXPORTER_TLS_DIR")  # its port is published on 127.0.0.1 only
    settings = {variable(setting) for setting in Config.model_fields}
    assert settings - decided_here <= set(SERVICES["locust_master"]["environment"])


def test_the_standard_variables_of_spans_reach_the_containers() -> None:
    """Master and workers get them from the shell or .env; the file holds no value, since one may be a secret."""
    for name in ("locust_master", "locust_worker"):
        given = {key: value for key, value in SERVICES[name]["environment"].items() if key.startswith("OTEL_")}
        assert given == dict.fromkeys(spans.VARIABLES)
    named = set(re.findall(r"`(OTEL_\w+)`", (ROOT / "docs" / "reports.md").read_text()))
    assert named == set(spans.VARIABLES)


def test_an_image_can_have_what_exports_spans() -> None:
    """OTLP=1 adds exactly the packages that the extra `otlp` needs beyond the image's, in the tested versions."""
    locks = {
        file: set(re.split(r"(?m)^(?=[a-z0-9])", (ROOT / file).read_text())[1:])
        for file in ("docker/otlp.lock", "requirements.lock", "requirements-dev.lock")
    }
    added, own, tested = locks.values()
    assert added < tested
    assert _names(added) == _needed(["opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"]) - _names(own)
    assert SERVICES["locust_worker"]["build"]["args"]["OTLP"] == "${OTLP:-}"


def _names(blocks: set[str]) -> set[str]:
    return {block.partition("==")[0].partition("[")[0] for block in blocks}


def _needed(names: list[str]) -> set[str]:
    """Return these packages and their dependencies, as installed here."""
    found: set[str] = set()
    while names:
        if (name := re.sub(r"[._-]+", "-", names.pop().lower())) not in found:
            found.add(name)
            wanted = map(Requirement, importlib.metadata.requires(name) or ())
            names += [one.name for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


@pytest.mark.parametrize("name", ["locust", "target_app"])
def test_images_are_built_the_careful_way(name: str) -> None:
    """An image comes from an overridable base, installs by hash, ends as a user, and needs no BuildKit."""
    text = (ROOT / "docker" / f"{name}.Dockerfile").read_text()
    assert "ARG PYTHON_IMAGE=python:3.13.15-slim-trixie\nFROM ${PYTHON_IMAGE}\n" in text
    assert "--require-hashes" in text
    assert re.findall(r"(?m)^USER (.*)$", text) == ["10001:10001"]
    assert re.findall(r"RUN --|COPY --(?!from)|<<", text) == []


def test_images_share_their_dependencies() -> None:
    """Both Dockerfiles begin with the same instructions, so that the layer of the dependencies exists once."""
    shared = [
        [
            line
            for line in (ROOT / "docker" / f"{name}.Dockerfile").read_text().split("# ---- the same")[0].splitlines()
            if not line.startswith("#")
        ]
        for name in ("locust", "target_app")
    ]
    assert shared[1] == shared[0]
    assert any("--require-hashes" in line for line in shared[0])


def test_the_engine_gets_what_the_images_copy_and_no_more() -> None:
    """.dockerignore lets through exactly the sources of the COPY instructions."""
    copied = {
        source
        for name in ("locust", "target_app")
        for source in re.findall(r"(?m)^COPY (\S+) ", (ROOT / "docker" / f"{name}.Dockerfile").read_text())
    }
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line.removeprefix("!") for line in ignore if line.startswith("!")} == copied
    assert "*" in ignore


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Return 200 for /healthz and 503 otherwise."""
        self.send_response(200 if self.path == "/healthz" else 503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log nothing."""


def test_health_check_tells_healthy_from_not() -> None:
    """The health check exits with 0 for status 200 only, not for another status or a closed port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_port
    assert [_health(port, "/healthz"), _health(port, "/other")] == [0, 1]
    server.shutdown()
    server.server_close()
    assert _health(port, "/healthz") == 1


def test_redis_refuses_an_image_without_redisjson(tmp_path: Path) -> None:
    """Without RedisJSON the start fails, and says which images have it."""
    script = (ROOT / "docker" / "redis" / "start.sh").read_text().replace(" /", f" {tmp_path}/")
    ended = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "REDIS_IMAGE" in ended.stderr


@pytest.mark.parametrize("layout", ["/opt/redis-stack/lib", "/usr/local/lib/redis/modules"])
def test_redis_loads_redisjson_in_either_image(tmp_path: Path, layout: str) -> None:
    """The start finds the module where either image family keeps it, and passes REDIS_ARGS on."""
    module = tmp_path / layout.lstrip("/") / "rejson.so"
    module.parent.mkdir(parents=True)
    module.touch()
    server = tmp_path / "redis-server"
    server.write_text('#!/bin/sh\necho "$@"\n')
    server.chmod(0o755)
    script = (ROOT / "docker" / "redis" / "start.sh").read_text()
    script = re.sub(r"(for module in )(\S+) (\S+);", rf"\g<1>{tmp_path}\2 {tmp_path}\3;", script)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "REDIS_ARGS": "--maxmemory 2gb"}
    ended = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert f"/etc/redis/redis.conf --loadmodule {module} --maxmemory 2gb" == ended.stdout.strip()


def _health(port: int, path: str) -> int:
    program = [sys.executable, "-IS", str(ROOT / "docker" / "healthcheck.py"), str(port), path]
    return subprocess.run(program, check=False, timeout=20).returncode


def test_every_variable_is_documented() -> None:
    """The reference lists each variable of the file with its default, and no others."""
    rows = [line.strip("| ").split("|") for line in (ROOT / "docs/reference/compose.md").read_text().splitlines()]
    documented = {row[0].strip(" `"): row[1].strip() for row in rows if re.fullmatch(r"`[A-Z_]+` ", row[0])}
    assert documented == dict(re.findall(r"\$\{([A-Z_]+):?-([^}]*)\}", TEXT))
