"""Every setting of the product, as one frozen Config.

A value comes from, in rising precedence: the default, `local_conf/loadtest.env`, the environment, the command
line. A setting `run_time` is LOADTEST_RUN_TIME in the file and in the environment, and `--run-time` on the
command line; `redis_url` is plain REDIS_URL, the name that other tools know too. Locust's own LOCUST_*
variables keep their meaning and are not settings of this product.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from loadtest.exceptions import UsageError
from loadtest.settings import env_file
from loadtest.settings.scenario_files import name_of_scenario
from loadtest.settings.service_links import is_service_link
from loadtest.settings.shipped import CONF_DIR
from loadtest.settings.urls import has_password, without_credentials
from loadtest.settings.value_types import BaseUrl, Host, Port, Rate, RedisUrl, Seconds, SpawnRate, Users

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "LOADTEST_"
SETTINGS_FILE = CONF_DIR / "loadtest.env"
PLAIN_NAMES = {"redis_url": "REDIS_URL"}
STACK_REDIS_URL = "redis://locust@redis:6379/0"
"""The Redis of the Compose stack, the default in its file."""


def default_workers() -> int:
    """Return the default number of workers for this machine: one fewer than its cores, and at least one."""
    return max(1, (os.cpu_count() or 1) - 1)


def _setting(default: Any, description: str, allowed: str, example: str) -> Any:
    return Field(default=default, description=description, json_schema_extra={"allowed": allowed, "example": example})


_A_DURATION = "a duration above 0, up to 7 days, such as 20s or 1m30s"
_A_PORT = "a port number from 1 to 65535, or 0 for any free one"


class Config(BaseModel):
    """All settings of one process, checked; see the module for where they come from."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)

    scenario: str = _setting(
        "documents",
        "the user journey to run",
        "a name from `loadtest scenarios`, or paths of locustfiles or of a folder of them, separated by commas",
        "documents",
    )
    profile: str = _setting(
        "quick",
        "the load profile",
        "a name from `loadtest profiles`, or the path of a measured-load file: .csv, .csv.gz, or .json",
        "quick",
    )
    profiles_file: Path | None = _setting(
        None,
        "your own profiles, in addition to local_conf/profiles.toml",
        "a TOML file of profiles",
        "my_profiles.toml",
    )
    workers: Annotated[int, Field(ge=1, le=512)] | None = _setting(
        None, "number of worker processes; by default one fewer than the cores", "a whole number from 1 to 512", "2"
    )
    users: Users | None = _setting(
        None, "users at the peak, overriding the profile", "a whole number from 1 to 1000000", "10"
    )
    spawn_rate: SpawnRate | None = _setting(
        None, "users started per second, overriding the profile", "a number above 0, up to 100000", "10"
    )
    rate: Rate | None = _setting(
        None,
        "arrivals per second at the peak, overriding the profile; open model only",
        "a number above 0, up to 1000000",
        "50",
    )
    run_time: Seconds | None = _setting(
        None,
        "length of the run, overriding the profile; all stages are scaled in proportion",
        _A_DURATION,
        "20s",
    )
    warm_up: Seconds | Literal["auto"] | None = _setting(
        None,
        "the initial part of the load that thresholds and `loadtest compare` ignore, unless a threshold has its own "
        "warm_up; auto detects it, in the first third of a constant load; it stays in the record, the reports and the "
        "trust checks",
        "auto, or a duration above 0, shorter than the run, such as 20s or 1m30s",
        "20s",
    )
    threshold: str | None = _setting(
        None,
        "thresholds in addition to those in the file, separated by commas",
        "rules such as p99(response_time) < 50ms",
        "error_ratio < 1%",
    )
    thresholds_file: Path = _setting(
        CONF_DIR / "thresholds.toml",
        "the file with the thresholds for every run",
        "a TOML file of rules",
        "my_thresholds.toml",
    )
    workload_file: Path = _setting(
        CONF_DIR / "key_value.toml",
        "the file of the scenario `key_value`: its keys, documents and operations",
        "a TOML file, see docs/reference/workloads.md",
        "my_workload.toml",
    )
    slo: str | None = _setting(
        None,
        "the service-level objective of `loadtest capacity`, which searches for the highest rate that meets these "
        "rules; RATE is then the highest rate to try, USERS the maximum pool size, RUN_TIME the longest search",
        "rules such as p99(response_time) < 100ms, error_ratio < 0.1%",
        "p99(response_time) < 100ms",
    )
    host: Host | None = _setting(
        None,
        "base URL of the service under test; by default the sample target, started for the run",
        "http://host[:port] or https://host[:port]; for users with their own clients any text without spaces",
        "https://staging.example.com",
    )
    sample_target: BaseUrl | None = _setting(
        None,
        "base URL of a sample target that is already running; the target if neither HOST nor a User class names a "
        "host, except for ordinary locustfiles",
        "http://host[:port] or https://host[:port]",
        "http://127.0.0.1:5000",
    )
    allowed_hosts: str | None = _setting(
        None,
        "hosts that a test started in the web UI may load, and to which redirects are followed, in addition to "
        "the configured service and this machine; link-local addresses, where clouds serve credentials, are reached "
        "only if listed here",
        "names, *.names, IP addresses or networks separated by commas, or * for any host",
        "staging.example.com, 10.0.0.0/8",
    )
    redis_url: RedisUrl | None = _setting(
        None,
        "a Redis with RedisJSON to use instead of starting one for the run; only keys under `loadtest:` are touched",
        "redis://host:port/db, rediss://… or unix://path; a cluster or Sentinel where the scenario loads Redis alone",
        "redis://127.0.0.1:6379/0",
    )
    feed: str | None = _setting(
        None,
        "source of the scenario's test data, overriding the one that it declares; read by the master",
        "a .csv, .tsv, .json or .jsonl file, optionally .gz, or a .parquet file; -.csv and the like for standard "
        "input; redis://…, mongodb://… or an SQLAlchemy URL",
        "user_ids.json",
    )
    feed_policy: str | None = _setting(
        None,
        "the order in which test data is allocated to users, overriding what the scenario declares",
        "round_robin, random, unique_then_stop, zipf(s) with s from 0.1 to 10",
        "unique_then_stop",
    )
    keep_data: bool = _setting(
        False,
        "keep the data that a scenario loaded and created in the Redis of REDIS_URL, which a run removes at the end",
        "1 or 0",
        "1",
    )
    store: str | None = _setting(
        None,
        "where `loadtest seed` writes; by default the Redis of REDIS_URL, or one on 127.0.0.1",
        "redis://host:port/db, rediss://…, unix://path or mongodb://host:port/database",
        "mongodb://127.0.0.1:27017/loadtest",
    )
    accounts_file: Path | None = _setting(
        None,
        "accounts of the service under test, for scenarios that sign in; by default they sign up new accounts",
        "a CSV file with the header row login,password, or a JSON array of such objects",
        "local_conf/accounts.csv",
    )
    token_file: Path | None = _setting(
        None,
        "the access token that scenarios generated by `loadtest init --openapi` send",
        "a file that holds a token and nothing else",
        "local_conf/token",
    )
    client: Literal["lean", "locust"] = _setting(
        "lean",
        "HTTP client of all scenarios except `assistant` and `notifications`: this product's, or Locust's FastHttpUser "
        "for comparison",
        "lean or locust",
        "lean",
    )
    fast: bool = _setting(
        False,
        "run a locustfile's stock HttpUser and FastHttpUser classes on this product's client, where that does not "
        "change their behaviour; the report names the classes that are not converted, and why",
        "1 or 0",
        "1",
    )
    autostart: bool = _setting(False, "start the test as soon as the workers have connected", "1 or 0", "1")
    fewer_workers: bool = _setting(False, "start with fewer workers if not all connect in time", "1 or 0", "1")
    master_wait: Seconds = _setting(
        60.0, "how long a worker tries to reach its master before it gives up", _A_DURATION, "60s"
    )
    ui: bool = _setting(False, "serve Locust's web UI until Ctrl-C instead of running headless", "1 or 0", "1")
    web_port: Port = _setting(8089, "port of Locust's web UI", _A_PORT, "8089")
    web_hosts: str | None = _setting(
        None,
        "host names by which the web UI and the exporter may be addressed, in addition to this machine's own",
        "host names or IP addresses separated by commas",
        "loadtest.example.com",
    )
    web_password_file: Path | None = _setting(
        None,
        "file with the web UI's password; if set, the web UI requires a login",
        "a readable file with 12 to 1024 characters on one line",
        "secrets/web_password",
    )
    max_users: Users = _setting(
        50_000,
        "the maximum number of users for a test started in the web UI",
        "a whole number from 1 to 1000000",
        "1000",
    )
    link_key_file: Path | None = _setting(
        None,
        "file with the secret that master and workers share; if set, their traffic is encrypted, and only processes "
        "with the secret can join",
        "a readable file with 32 to 1024 characters on one line, the same for all",
        "secrets/link_key",
    )
    private_network: bool = _setting(
        False,
        "trust everyone who can reach this process, as in a container whose ports are published on 127.0.0.1 "
        "only: the web UI then needs no password, and the workers' link no key, on any address",
        "1 or 0",
        "1",
    )
    exporter_port: Port = _setting(9646, "port of the Prometheus exporter on the master", _A_PORT, "9646")
    exporter_bind: str = _setting("127.0.0.1", "address that the exporter listens on", "an IP address", "127.0.0.1")
    exporter_tls_dir: Path | None = _setting(
        None,
        "folder with the exporter's certificate and its key, tls.crt and tls.key; if set, it answers over TLS only",
        "a folder with both files in PEM, the key without a password",
        "secrets/exporter",
    )
    exporter_compatibility: bool = _setting(
        False, "also export the metric names that Grafana's dashboards 11985 and 12081 query", "1 or 0", "1"
    )
    target_port: Port = _setting(5000, "port of the sample target", _A_PORT, "5000")
    runs_dir: Path = _setting(
        Path("runs"), "folder of the results, with one folder per run", "a writable folder", "runs"
    )
    evidence: bool = _setting(
        True,
        "keep what was sent and what came back in the first failed requests of each kind, without secrets, in the "
        "record and the reports (docs/reports.md)",
        "1 or 0",
        "0",
    )
    trace_sample: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=False)] = _setting(
        0.0,
        "the share of the HTTP requests that is traced: they get a W3C traceparent header, and the trace ids of the "
        "slowest and of failed ones are in the record, the report, and the metrics' exemplars (docs/reports.md)",
        "a number from 0 to 1",
        "0.01",
    )
    verdict_file: Path | None = _setting(
        None,
        "a file to which the master also writes the verdict and its reasons, in a few lines, such as a pod's "
        "termination message",
        "a file that can be written",
        "/dev/termination-log",
    )
    results_url_file: Path | None = _setting(
        None,
        "file with a presigned URL to which the master sends the run's folder as a .tar.gz after the verdict, by PUT; "
        "if that fails, it says so, and the verdict stays (docs/kubernetes.md)",
        "a readable file that holds an http or https URL and nothing else",
        "secrets/results_url",
    )
    run_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] | None = _setting(
        None,
        "name of the run's folder; by default time, scenario and profile",
        "up to 100 letters, digits, . _ -",
        "night-42",
    )
    version: Annotated[str, Field(max_length=200)] | None = _setting(
        None,
        "the version of the service under test, such as a git commit; `loadtest history --changes` names it",
        "up to 200 characters",
        "a1b2c3d",
    )
    baseline: str | None = _setting(
        None,
        "a run to compare with at the end; if the new run is worse, the exit code is 3; the word baseline means the "
        "run that `loadtest baseline set` named",
        "a run's folder, its name in the runs folder, or baseline",
        "baseline",
    )
    until_decided: bool = _setting(
        False,
        "end the run when its comparison, with BASELINE or between the two sides of a duet, is decided; RUN_TIME is "
        "then the longest run",
        "1 or 0",
        "1",
    )

    @classmethod
    def load(
        cls,
        options: Mapping[str, object] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        file: Path | None = None,
    ) -> Config:
        """Merge file, environment and command-line options over the defaults.

        Args:
            options: command-line values by setting name; None values count as not given.
            environ: the environment; by default this process's.
            file: lines of `NAME=value`; by default local_conf/loadtest.env when it exists.

        Raises:
            UsageError: a setting is wrong; the message names all wrong ones.
        """
        config, problems = cls.valid_part(options, environ=environ, file=file)
        if problems:
            raise UsageError("\n".join(problems))
        return config

    @classmethod
    def valid_part(
        cls,
        options: Mapping[str, object] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        file: Path | None = None,
    ) -> tuple[Config, list[str]]:
        """Merge like `load`, but leave out wrong settings, and return a sentence for each of them.

        Raises:
            UsageError: when the file cannot be read.
        """
        file = SETTINGS_FILE if file is None else file
        given: dict[str, tuple[object, str]] = {}
        in_file = env_file.read(file)
        environ = os.environ if environ is None else environ
        problems = _wrong_in_file(in_file, file, environ)
        for source, values in (
            (str(file), in_file),
            ("the environment", {name: value for name, value in environ.items() if not is_service_link(name, value)}),
        ):
            for name, value in values.items():
                setting = setting_of(name)
                if setting is None:
                    continue
                if setting not in cls.model_fields:
                    problems.append(_unknown(name, source))
                elif value != "":
                    given[setting] = (value, f"{name} in {source}")
        for setting, option in (options or {}).items():
            if option is not None:
                given[setting] = (option, f"--{setting.replace('_', '-')} on the command line")
        problems += [_password_in(setting) for setting, option in (options or {}).items() if has_password(str(option))]
        wanted = {setting: value for setting, (value, _) in given.items()}
        try:
            config = cls.model_validate(wanted)
        except ValidationError as error:
            wrong = [str(part["loc"][0]) for part in error.errors()]
            problems += [_explain(setting, given) for setting in wrong]
            config = cls.model_validate({setting: value for setting, value in wanted.items() if setting not in wrong})
        return config, list(dict.fromkeys(problems))

    @property
    def warm_up_s(self) -> float:
        """The configured warm-up, in seconds; 0 if there is none, or if it is to be detected."""
        return self.warm_up if isinstance(self.warm_up, float) else 0.0

    @property
    def scenario_name(self) -> str:
        """The name of the scenario."""
        return name_of_scenario(self.scenario)

    @property
    def profile_name(self) -> str:
        """The name of the profile; for a file, its name up to the first dot."""
        return Path(self.profile).name.partition(".")[0] or "profile"

    def environment(self) -> dict[str, str]:
        """Return environment variables with which a child process gets the same Config."""
        values = self.model_dump(mode="json", exclude_none=True)
        return {variable(setting): _as_text(value) for setting, value in values.items()}


def variable(setting: str) -> str:
    """Return the environment variable of a setting."""
    return PLAIN_NAMES.get(setting, PREFIX + setting.upper())


def setting_of(name: str) -> str | None:
    """Return the setting of an environment variable, or None if it is not one of this product's."""
    for setting, plain in PLAIN_NAMES.items():
        if name == plain:
            return setting
    return name.removeprefix(PREFIX).lower() if name.startswith(PREFIX) else None


def allowed(setting: str) -> str:
    """Return the allowed values of a setting, as part of a sentence."""
    return _extra(setting)["allowed"]


def _extra(setting: str) -> dict[str, str]:
    extra = Config.model_fields[setting].json_schema_extra
    return {key: str(value) for key, value in extra.items()} if isinstance(extra, dict) else {}


def _explain(setting: str, given: Mapping[str, tuple[object, str]]) -> str:
    value, source = given[setting]
    value = without_credentials(str(value))
    name = variable(setting).removeprefix(PREFIX)
    return (
        f"{name}={value} (from {source}) is not allowed. Allowed: {allowed(setting)}. "
        f"Next: set {name}={_extra(setting)['example']}, or leave it out."
    )


def _unknown(name: str, source: str) -> str:
    known = ", ".join(sorted(variable(setting) for setting in Config.model_fields))
    return f"{name} (in {source}) is not a setting. Allowed: {known}. Next: correct its name, or remove it."


def _password_in(setting: str) -> str:
    option, name = f"--{setting.replace('_', '-')}", variable(setting)
    return (
        f"{option} contains a password, which everyone on this machine can read on the command line. Allowed: the URL "
        f"in the environment or in {SETTINGS_FILE}. Next: set {name} there and omit {option}."
    )


def _wrong_in_file(in_file: Mapping[str, str], file: Path, environ: Mapping[str, str]) -> list[str]:
    """Return problems of settings in the wrong place: names without the prefix, and a Redis for half of the stack."""
    problems = [
        f"{name} (in {file}) is not read from there. Allowed: {full}. Next: write {full}=…, or remove it."
        for name in in_file
        if name.lower() in Config.model_fields and (full := variable(name.lower())) != name
    ]
    if in_file.get("REDIS_URL") and environ.get("REDIS_URL") == STACK_REDIS_URL:
        problems.append(
            f"REDIS_URL in {file} does not reach the sample target of the Compose stack, which would use another Redis "
            "than the load. Allowed: REDIS_URL in the shell or in .env, the file secrets/redis/url with "
            "docker/own_redis.yml, or `loadtest stack`. Next: move it there (docs/reference/compose.md)."
        )
    return problems


def _as_text(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
