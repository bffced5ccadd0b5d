"""The command `loadtest`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

import click
from rich.console import Console

from loadtest import __version__, compose, preflight, scenarios
from loadtest.authoring.commands import init
from loadtest.capacity import against as earlier
from loadtest.checking import endpoint
from loadtest.comparing import commands, duet
from loadtest.comparing.comparison import Conclusion
from loadtest.doctor import check_users_fit, examine
from loadtest.exceptions import (
    ExitCode,
    LoadtestError,
    RecordError,
    StackError,
    UsageError,
    nearest_name,
)
from loadtest.judging import thresholds
from loadtest.kubernetes import cluster_run, results
from loadtest.kubernetes.cluster_run import ClusterRun, Manifests
from loadtest.kubernetes.kubectl import Kubectl
from loadtest.kubernetes.kustomization import MANIFESTS, Kustomization
from loadtest.local import locust_options, two_versions
from loadtest.local.stack import LocalStack, check_host_answers, check_ports_free, show_by_locust
from loadtest.local.two_versions import Version
from loadtest.profiles import chart
from loadtest.profiles.profile import all_profiles
from loadtest.progress import Screen, output, printable
from loadtest.replaying.replay import NAME, Replay, Selection, private_folder
from loadtest.reporting import document as run_document
from loadtest.reporting import files, summary
from loadtest.run_folder import RunFolder, new_run_id
from loadtest.seeding.commands import seed
from loadtest.settings import credentials, hosts
from loadtest.settings.config import Config, allowed, duration_s, paths_of_scenario
from loadtest.settings.urls import without_credentials
from loadtest.users.target import check_is_url

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LOCUST_OPTIONS = "loadtest.locust_options"
EXIT_CODES = """\b
Exit codes: 0 passed, 1 the run could not be carried out, 2 wrong usage,
3 a threshold failed, 4 no data, 5 not trustworthy, 130 interrupted."""


class _Group(click.Group):
    """A command group that ends with our exit codes, and prints errors without a traceback."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs)
        except click.ClickException as error:
            error.show()
            code = ExitCode.USAGE
        except LoadtestError as error:
            for line in str(error).splitlines():
                click.secho("error: ", fg="red", bold=True, nl=False, err=True)
                click.echo(printable(without_credentials(line)), err=True)
            code = error.exit_code
        except (KeyboardInterrupt, click.Abort):
            code = ExitCode.INTERRUPTED
        sys.exit(int(code or 0))


@click.group(cls=_Group, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Measure how much load a service can handle, from your own machine, with numbers you can trust.

    \b
    Shell completion for bash (for zsh or fish, replace bash):
    eval "$(_LOADTEST_COMPLETE=bash_source loadtest)"
    """


main.add_command(seed)


class _Run(click.Command):
    """`loadtest run`: what is no option of its own is Locust's, or the locustfile's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        own = {name: not option.is_flag for option in options for name in option.opts}
        mine, ctx.meta[LOCUST_OPTIONS] = locust_options.split(args, own)
        return super().parse_args(ctx, mine)


def _setting_option(setting: str, metavar: str, *short: str, **more: Any) -> Callable[[Any], Any]:
    field = Config.model_fields[setting]
    text = f"{field.description}. Allowed: {allowed(setting)}."
    if not more.get("is_flag"):
        more["metavar"] = metavar
    return click.option(setting, *short, f"--{setting.replace('_', '-')}", help=text[0].upper() + text[1:], **more)


@main.command(epilog=EXIT_CODES, cls=_Run)
@_setting_option("scenario", "NAME", "-f", "--locustfile", multiple=True)
@_setting_option("profile", "NAME")
@_setting_option("workers", "N")
@click.option("--processes", type=int, metavar="N", help="As in Locust: the number of workers, -1 for one per core.")
@_setting_option("users", "N", "-u")
@_setting_option("spawn_rate", "PER_S", "-r")
@_setting_option("rate", "PER_S")
@_setting_option("run_time", "DURATION", "-t")
@_setting_option("warm_up", "DURATION")
@_setting_option("profiles_file", "FILE")
@_setting_option("threshold", "RULE", multiple=True)
@_setting_option("thresholds_file", "FILE")
@_setting_option("host", "URL", "-H")
@_setting_option("redis_url", "URL")
@_setting_option("feed", "FILE|URL")
@_setting_option("feed_policy", "POLICY")
@_setting_option("keep_data", "", is_flag=True, default=None)
@_setting_option("accounts_file", "FILE")
@_setting_option("token_file", "FILE")
@_setting_option("client", "NAME")
@_setting_option("fast", "", is_flag=True, default=None)
@_setting_option("run_id", "NAME")
@_setting_option("baseline", "RUN")
@_setting_option("ui", "", is_flag=True, default=None)
@_setting_option("web_port", "PORT", "-P")
@click.option("--headless", is_flag=True, help="As in Locust: no web UI. This is the default.")
@click.option("--autostart", is_flag=True, help="As in Locust: serve the web UI and start a test at once.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="As in Locust: print its statistics on standard output and everything else on standard error.",
)
@click.pass_context
def run(
    ctx: click.Context, /, as_json: bool, processes: int | None, headless: bool, autostart: bool, **options: Any
) -> int:
    """Run a load test with the whole stack as processes on this machine.

    \b
    loadtest run                                    scenario documents, profile quick, against the sample target
    loadtest run --profile stress --workers 2       more load
    loadtest run --host https://staging.example.com your own service
    loadtest run -f locustfile.py -u 50 -r 10 -t 5m an existing locustfile, unchanged
    loadtest run -f a.py,b.py --tags read --csv out  several files, with options of Locust or of the locustfile
    loadtest run --ui                               Locust's web UI instead of a headless run
    loadtest run --threshold 'p99 < 50ms'           exit code 3 when the 99th percentile is 50 ms or more
    loadtest run --baseline night-41                exit code 3 when a request is worse than in that run

    Settings also come from local_conf/loadtest.env and the environment (LOADTEST_PROFILE=stress); the command
    line wins. Results go to runs/<id>/.
    """
    for name, separator in (("threshold", ", "), ("scenario", ",")):
        options[name] = separator.join(options[name]) or None
    if processes is not None:
        options["workers"] = (os.cpu_count() or 1) if processes == -1 else processes
    if headless or autostart:
        options |= {"ui": not headless, "autostart": autostart}
    theirs: list[str] = ctx.meta[LOCUST_OPTIONS]
    with preflight.all_at_once(*_NAMES, *_SURROUNDINGS, options=options):
        config, more = _with_locusts(options, theirs, [name for param in ctx.command.params for name in param.opts])
    if locust_options.ENDS_AT_ONCE.intersection(theirs):
        return show_by_locust(config, theirs)
    if as_json and config.ui:
        raise UsageError(
            "--json does not work with UI=1: the web UI runs many tests. Allowed: one of the two. Next: leave one out."
        )
    return _conduct(config, as_json=as_json, more=more)


def _with_locusts(options: dict[str, Any], theirs: list[str], ours: list[str]) -> tuple[Config, list[str]]:
    """Return the settings, with those that Locust's own options and files give, and the options for its processes.

    Raises:
        UsageError: for an option that nobody knows, with the nearest one.
    """
    config = Config.load(options)
    if not preflight.is_known(config):
        return config, []  # which is said together with everything else that is wrong
    found = declared(config.scenario if "scenario" in config.model_fields_set else "", theirs)
    if found.unknown:
        nearest = nearest_name(found.unknown[0].partition("=")[0], [*ours, *found.known])
        raise UsageError(
            f"{found.unknown[0]} is not an option. Allowed: those of `loadtest run --help`, of `locust --help`, and of "
            f"the locustfile. Next: {f'did you mean {nearest}?' if nearest else 'leave it out.'}"
        )
    settings = {"scenario": found.scenario, **found.settings}
    missing = {name: value for name, value in settings.items() if name not in config.model_fields_set}
    config = Config.load({**options, **missing})
    locust_options.take_out(os.environ)
    if not config.autostart:
        return config, [*locust_options.repeated(sorted(found.settings), config), *theirs]
    # --autoquit asks for --autostart, and only the end of Locust's own run time makes it quit.
    of_locust = locust_options.repeated(sorted({*found.settings, "run_time"}), config)
    return config, ["--autostart", *of_locust, *theirs]


def _conduct(config: Config, *, as_json: bool = False, more: Sequence[str] = ()) -> int:
    """Check what can be checked beforehand, and run."""
    preflight.check(config, *_NAMES, *_SURROUNDINGS)
    base = commands.baseline_of(config) if config.baseline and not config.ui else None
    if base is not None:
        commands.show_precision(base)
    folder = RunFolder.create(config.runs_dir, config.run_id or new_run_id(config.scenario_name, config.profile_name))
    code = _supervise(config.model_copy(update={"run_id": folder.name}), folder, as_json=as_json, more=more)
    return code if base is None else commands.end_with_comparison(base, folder.path, code, error=as_json)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("scenario", metavar="FILE")
@_setting_option("host", "URL", "-H")
@_setting_option("redis_url", "URL")
@_setting_option("feed", "FILE|URL")
@_setting_option("feed_policy", "POLICY")
@_setting_option("accounts_file", "FILE")
@_setting_option("token_file", "FILE")
@_setting_option("fast", "", is_flag=True, default=None)
@click.argument("arguments", metavar="[OPTIONS OF LOCUST AND OF THE FILE]", nargs=-1, type=click.UNPROCESSED)
def check(arguments: tuple[str, ...], **options: Any) -> int:
    """Run each task of a scenario once, before a load test.

    \b
    loadtest check load/shop.py --host https://staging.example.com
    loadtest check load/shop.py --tags buy

    Shows the service's name and certificate, each request with status, time and size, and each exception with file and
    line. FILE may also be the name of a built-in scenario. Exit code 0 if everything worked, otherwise 1.
    """
    config = Config.load({**options, "target_port": "0"})
    preflight.check_scenario(config)
    preflight.check_feed(config)
    credentials.check(config)
    known = declared(config.scenario)
    of_classes = None if known.takes_sample_target else known.hosts

    def say(part: str, text: str) -> None:
        click.echo(f"{part:12} {text}")

    with tempfile.TemporaryDirectory(prefix="loadtest-check-") as folder:
        stack = LocalStack(config, Path(folder), say, hosts_of_classes=of_classes, needs_redis=known.needs_redis)
        with stack.service() as settings:
            for host in filter(hosts.is_http, [config.host] if config.host else sorted(set(known.hosts.values()))):
                for part, text in endpoint.look(host):
                    say(part, text)
            command = [sys.executable, "-m", "loadtest.checking", config.scenario, *arguments]
            return subprocess.run(command, env={**os.environ, **settings}, check=False).returncode  # noqa: S603


@main.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@_setting_option("scenario", "NAME", "-f", multiple=True)
@_setting_option("profile", "NAME")
@_setting_option("host", "URL", "-H")
@click.argument("words", metavar="COMMAND", nargs=-1, required=True, type=click.UNPROCESSED)
def stack(words: tuple[str, ...], **options: Any) -> int:
    """Run the stack in containers: a Docker Compose command, with Prometheus, Grafana and your scenario.

    \b
    loadtest stack up                                   the web UI on http://127.0.0.1:8089, Grafana on port 3000
    loadtest stack -f load/shop.py up --scale locust_worker=4      your scenario; the containers see its folder
    loadtest stack logs -f locust_master
    loadtest stack cp locust_master:/app/runs/. "$PWD/runs"
    loadtest stack down

    Settings also come from local_conf/loadtest.env and the environment. An installed package writes the stack's files
    to .loadtest/ in the current folder.
    """
    config = Config.load({**options, "scenario": ",".join(options["scenario"]) or None})
    known = declared(config.scenario) if paths_of_scenario(config.scenario) else None
    _check_host(config)
    return compose.run(config, known.hosts if known else {}, words)


@main.group(name="kubernetes")
def on_kubernetes() -> None:
    """Run a load test on a Kubernetes cluster, using kubectl's current context."""


_NAMESPACE: Final = click.option("-n", "--namespace", metavar="NAME", help="Default: that of kubectl's context.")
_IMAGE: Final = click.option(
    "--image", metavar="IMAGE", help=f"The image of master and workers; by default loadtest:{__version__}."
)
_OPENSHIFT: Final = click.option("--openshift", is_flag=True, help="Let OpenShift choose users and groups.")


def _duration(_ctx: click.Context, _option: click.Parameter, text: str) -> float:
    try:
        return duration_s(text)
    except ValueError as error:
        raise click.BadParameter(f"{text} is not a duration. Allowed: 90s, 10m or 1h. Next: give one.") from error


@on_kubernetes.command(name="run", epilog=EXIT_CODES)
@_setting_option("scenario", "NAME", "-f", "--locustfile", multiple=True)
@_setting_option("profile", "NAME")
@_setting_option("workers", "N")
@_setting_option("users", "N", "-u")
@_setting_option("spawn_rate", "PER_S", "-r")
@_setting_option("rate", "PER_S")
@_setting_option("run_time", "DURATION", "-t")
@_setting_option("warm_up", "DURATION")
@_setting_option("profiles_file", "FILE")
@_setting_option("threshold", "RULE", multiple=True)
@_setting_option("thresholds_file", "FILE")
@_setting_option("host", "URL", "-H")
@_setting_option("redis_url", "URL")
@_setting_option("feed", "FILE|URL")
@_setting_option("feed_policy", "POLICY")
@_setting_option("accounts_file", "FILE")
@_setting_option("token_file", "FILE")
@_setting_option("fast", "", is_flag=True, default=None)
@_setting_option("run_id", "NAME")
@_setting_option("baseline", "RUN")
@_NAMESPACE
@_IMAGE
@_OPENSHIFT
@click.option(
    "--kustomize",
    "base",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Your own kustomization on top of deploy/kubernetes/base, used instead of it.",
)
@click.option(
    "--wait", "wait_s", metavar="DURATION", default="10m", callback=_duration, show_default=True,
    help="How long pods may take to become ready.",
)  # fmt: skip
@click.option("--keep", is_flag=True, help="Leave job, workers and settings in the namespace.")
def run_on_kubernetes(
    *,
    namespace: str | None,
    image: str | None,
    base: Path | None,
    openshift: bool,
    wait_s: float,
    keep: bool,
    **options: Any,
) -> int:
    """Run a load test on a cluster: start it, follow it, fetch its results, clean up, and return its exit code.

    \b
    loadtest kubernetes run -n loadtest       the sample target, with Prometheus and Grafana
    loadtest kubernetes run -f load/shop.py --host http://shop.shop:8080 --workers 4
    loadtest kubernetes run --kustomize load/cluster --image registry.example.com/loadtest:1

    The namespace needs the Secret loadtest with a link_key; docs/kubernetes.md says how to create it. The volume with
    the results is kept. Settings also come from local_conf/loadtest.env and the environment, as for `loadtest run`.
    """
    for name, separator in (("threshold", ", "), ("scenario", ",")):
        options[name] = separator.join(options[name]) or None
    config = Config.load(options)
    # Credentials are in the Secret, which only the pods see.
    preflight.check(config.model_copy(update={"accounts_file": None, "token_file": None}), *_NAMES)
    compared_with = commands.baseline_of(config) if config.baseline else None
    known = declared(config.scenario)
    run_id = config.run_id or new_run_id(config.scenario_name, config.profile_name)
    if base is None:
        base = MANIFESTS / ("demo" if known.takes_sample_target and not config.host else "base")
    wanted = Kustomization(base, image, openshift).of_run(config, known.hosts.values(), run_id)
    kubectl = Kubectl(namespace)
    _say("run", f"scenario {config.scenario}, profile {config.profile}, as {run_id}")
    _raise_signals()
    run = ClusterRun(
        kubectl,
        Manifests.rendered(kubectl, wanted),
        run_id,
        config.runs_dir,
        say=_say,
        show=_show,
        wait_s=wait_s,
        keep=keep,
    )
    code = run.conduct()
    if compared_with is None or run.folder is None:
        return code
    return commands.end_with_comparison(compared_with, run.folder.path, code)


def _show(text: str) -> None:
    print(text, file=Screen(sys.stdout), flush=True)


def _say(part: str, text: str) -> None:
    _show(f"{part:12} {printable(text)}")


@on_kubernetes.command(name="fetch")
@click.argument("run_id", metavar="RUN")
@_NAMESPACE
@_IMAGE
@_OPENSHIFT
def fetch_from_kubernetes(run_id: str, namespace: str | None, image: str | None, openshift: bool) -> None:
    """Copy the results of a run from the cluster's volume to runs/RUN.

    \b
    loadtest kubernetes fetch 20261121T093657Z-documents-quick -n loadtest
    """
    runs_dir = Config.load().runs_dir
    results.check_new(runs_dir, run_id)
    kubectl = Kubectl(namespace)
    pod = cluster_run.text(kubectl, Kustomization(MANIFESTS / "fetch", image, openshift))
    _say("results", f"{results.fetch(kubectl, pod, run_id, runs_dir).path}/")


@main.command(name=NAME, epilog=EXIT_CODES)
@click.argument("log", metavar="LOG", type=click.Path(path_type=Path))
@click.option("--speed", metavar="N", type=click.FloatRange(0.001, 1000), default=1.0, help="Replay N times as fast.")
@click.option("--from", "from_", metavar="TIME", help="Start here: a duration since the first request, or a time.")
@click.option("--until", metavar="TIME", help="Stop here, exclusive.")
@click.option(
    "--sample",
    metavar="PERCENT",
    type=click.FloatRange(0, 100, min_open=True),
    default=100.0,
    help="Replay a random sample of the requests.",
)
@click.option("--from-host", metavar="NAME", multiple=True, help="Replay only the requests to this host.")
@_setting_option("host", "URL", "-H")
@_setting_option("workers", "N")
@_setting_option("users", "N", "-u")
@_setting_option("threshold", "RULE", multiple=True)
@_setting_option("thresholds_file", "FILE")
@_setting_option("token_file", "FILE")
@_setting_option("run_id", "NAME")
@_setting_option("baseline", "RUN")
@click.option("--json", "as_json", is_flag=True, help="As for `loadtest run`.")
def replay_log(log: Path, as_json: bool, from_host: tuple[str, ...], **options: Any) -> int:
    """Replay the requests of an access log, with the original timing, against a service that you name.

    \b
    loadtest replay access.log --host https://staging.example.com
    loadtest replay access.log.gz --host https://staging.example.com --speed 2 --from 10m --until 25m
    loadtest replay shop.har --host http://127.0.0.1:8000 --from-host shop.example.com

    LOG is an nginx or Apache log (common, combined), JSON lines, an AWS ALB log, or a HAR file. docs/replay.md says
    what is sent.
    """
    options["threshold"] = ", ".join(options["threshold"]) or None
    times = options.pop("speed"), options.pop("sample") / 100, options.pop("from_"), options.pop("until")
    config = Config.load(options)
    if config.host is None:
        raise UsageError(
            "HOST is missing: a replay goes only to a service that you name. Allowed: the base URL of a service that "
            "you may load. Next: add --host https://staging.example.com."
        )
    replay = Replay.of(log, Selection(*times, from_host))
    for sentence in replay.sentences:
        click.echo(f"replay       {printable(sentence)}", err=as_json)
    with private_folder(config.runs_dir, log) as folder:
        scenario, profile = replay.write(folder)
        files_of_run = {"scenario": str(scenario), "profile": str(profile), "ui": False}
        return _conduct(config.model_copy(update=files_of_run), as_json=as_json)


@main.command(name="duet", epilog=EXIT_CODES)
@click.argument("urls", metavar="[BASE_URL NEW_URL]", nargs=-1)
@click.option("--base", metavar="REF", help="Instead of URLs: the sample target at this commit, and in this checkout.")
@_setting_option("scenario", "NAME", "-f")
@_setting_option("profile", "NAME")
@_setting_option("workers", "N")
@_setting_option("users", "N", "-u")
@_setting_option("rate", "PER_S")
@_setting_option("run_time", "DURATION", "-t")
@_setting_option("warm_up", "DURATION")
@_setting_option("feed", "FILE|URL")
@_setting_option("feed_policy", "POLICY")
@_setting_option("accounts_file", "FILE")
@_setting_option("token_file", "FILE")
@_setting_option("run_id", "NAME")
@commands.margin_option(duet.MARGIN)
def run_duet(urls: tuple[str, ...], base: str | None, margin: float, **options: Any) -> int:
    """Load two versions of a service at the same time, and compare them pair by pair.

    \b
    loadtest duet http://127.0.0.1:8001 http://127.0.0.1:8002 -f load/shop.py --rate 50 --run-time 60s
    loadtest duet https://old.example.com https://new.example.com --scenario health
    loadtest duet --base main                     the sample target, also as `make duet BASE=main`

    Each iteration goes to both at the same instant, in random order, with the same data. Anything that slows both, such
    as other work on the machine, cancels out. The default profile is constant-arrival-rate. Exit code 3 if the new
    version is worse, 4 if the result is inconclusive. docs/comparing.md explains the method and how often it is wrong.
    """
    if len(urls) != (2 if base is None else 0):
        raise UsageError(
            f"a duet has two versions, but {len(urls)} URLs{'' if base is None else f' and --base {base}'} were given. "
            "Allowed: two base URLs, or --base REF alone. Next: `loadtest duet --help` has examples."
        )
    options["profile"] = options["profile"] or "constant-arrival-rate"
    config, *_ = (Config.load({**options, "host": url}) for url in urls or (None,))
    preflight.check_scenario(config)
    if config.baseline is not None or config.ui:
        raise UsageError(
            "BASELINE and UI do not work in a duet, which compares its own two sides. Allowed: neither of them. Next: "
            "leave them out."
        )
    if base is not None:
        with two_versions.of_sample_target(base, lambda part, text: click.echo(f"{part:12} {text}")) as both:
            return _conduct_duet(config, both, margin / 100)
    if declared(config.scenario).needs_redis:
        raise UsageError(
            f"SCENARIO={config.scenario} does not work in a duet of two URLs: it needs a Redis, and a duet would need "
            "two. Allowed: scenarios that test a service by its URL, or --base REF. Next: choose another scenario."
        )
    hosts.open_allowed(config.allowed_hosts)
    for url in urls:
        hosts.check_open(url)
        check_host_answers(url)
    return _conduct_duet(config, [Version(url, url) for url in urls], margin / 100)


def _conduct_duet(config: Config, versions: Sequence[Version], margin: float) -> int:
    name = f"duet-{config.scenario_name}"
    run_id = config.run_id or new_run_id(name, config.profile_name)
    with tempfile.TemporaryDirectory() as folder:
        scenario = duet.write(Path(folder), name, config.scenario, versions)
        own = {"scenario": str(scenario), "run_id": run_id, "host": None, "redis_url": versions[0].redis_url}
        code = _conduct(config.model_copy(update=own))
    return commands.end_with_duet(config.runs_dir / run_id, versions, margin, code)


@main.command(epilog=EXIT_CODES)
@_setting_option("slo", "RULES", required=True)
@_setting_option("scenario", "NAME")
@_setting_option("workers", "N")
@_setting_option("users", "N")
@_setting_option("rate", "PER_S")
@_setting_option("run_time", "DURATION")
@_setting_option("host", "URL")
@_setting_option("redis_url", "URL")
@_setting_option("accounts_file", "FILE")
@_setting_option("token_file", "FILE")
@_setting_option("client", "NAME")
@_setting_option("run_id", "NAME")
@click.option("--against", metavar="RUN", help="Compare with the result of an earlier run; exit code 3 if it is worse.")
def capacity(*, against: str | None, **options: Any) -> int:
    """Search for the highest arrival rate that meets a service-level objective.

    \b
    loadtest capacity --slo 'p99(response_time) < 100ms, error_ratio < 0.1%'
    loadtest capacity --slo 'p95 < 50ms' --scenario health --host https://staging.example.com
    loadtest capacity --slo 'p99 < 1s' --rate 2000 --users 500 --run-time 5m   bounds for the search

    The rate doubles until the objective is missed, then closes in on the limit and repeats steps near it. The result is
    the rate with its 95 % interval, the outcome of each step, a chart with the knee, and the two coefficients of the
    Universal Scalability Law, also as runs/<id>/capacity.html and capacity.json. docs/capacity.md explains each. A step
    takes about 10 s, and a search about 15 steps.
    """
    options["profile"] = "constant-arrival-rate"
    checks = (*_NAMES, *_SURROUNDINGS, _check_objective)
    with preflight.all_at_once(*checks, options=options):
        config = Config.load(options)
        preflight.check(config, *checks)
    base = None if against is None else earlier.Found.read(RunFolder.find(against, config.runs_dir).path)
    if base is not None:
        earlier.check(base, config.scenario_name, str(config.slo))
    folder = RunFolder.create(config.runs_dir, config.run_id or new_run_id(config.scenario_name, "capacity"))
    code = _supervise(config.model_copy(update={"run_id": folder.name}), folder)
    if base is None or code not in {ExitCode.PASSED, ExitCode.NOT_TRUSTWORTHY}:
        return code
    conclusion, sentence = earlier.conclusion(base, earlier.Found.read(folder.path))
    click.echo(printable(f"{'comparison':12} {sentence}"))
    return code or int(ExitCode.THRESHOLD_FAILED if conclusion is Conclusion.WORSE else ExitCode.PASSED)


@main.command()
@_setting_option("profiles_file", "FILE")
@click.option("--json", "as_json", is_flag=True, help="Print every stage as JSON, in seconds and users or per second.")
def profiles(profiles_file: str | None, as_json: bool) -> None:
    """Draw the load profiles of local_conf/profiles.toml and of your own file."""
    known = all_profiles(Config.load({"profiles_file": profiles_file}).profiles_file).values()
    if as_json:
        click.echo(json.dumps([chart.as_dict(profile) for profile in known], indent=1))
    else:
        chart.show(known, Console(file=sys.stdout))


@main.command(name="scenarios")
@click.option("--json", "as_json", is_flag=True, help="Print each scenario as JSON, with the requests it declares.")
def list_scenarios(as_json: bool) -> None:
    """List the scenarios."""
    if as_json:
        requests = {name: [list(pair) for pair in declared(name).requests] for name in scenarios.names()}
        click.echo(json.dumps(requests, indent=1))
        return
    for name in scenarios.names():
        click.echo(name)


@main.command()
@click.argument("run", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="Print the whole run as JSON; no file is written.")
def report(run: str, as_json: bool) -> None:
    """Show the results of a run, even an interrupted one, and regenerate its reports from its record.

    \b
    loadtest report runs/20261121T093657Z-documents-quick
    loadtest report 20261121T093657Z-documents-quick --json

    RUN is its folder, or its name in runs/. Writes report.html, summary.md, junit.xml, stats.csv, steps.csv and
    timeline.csv, and record.json if the run was cut off before it could write it.
    """
    folder = RunFolder.find(run, Config.load().runs_dir)
    with run_document.reading(folder.path):
        document = run_document.read(folder.path)
    if as_json:
        click.echo(files.json_text(document))
        return
    with run_document.reading(folder.path):
        summary.show(document, output())
        texts = files.of(document)
    if folder.record.exists():
        del texts[folder.record.name]
    if problems := files.write(folder.path, texts):
        raise RecordError("\n".join(problems))
    click.echo(f"report       {folder.report}")


@main.command()
@_setting_option("profile", "NAME")
@_setting_option("workers", "N")
@_setting_option("users", "N")
@_setting_option("host", "URL")
@_setting_option("redis_url", "URL")
@_setting_option("accounts_file", "FILE")
@_setting_option("token_file", "FILE")
@click.option("--json", "as_json", is_flag=True, help="Print name, healthy and sentence of each check as JSON.")
def doctor(as_json: bool, **options: Any) -> int:
    """Check whether this machine is ready for a run, and say how to fix each problem.

    Exit code 0 if every check passes, otherwise 1.
    """
    checks = []
    for check in examine(Config.load(options)):
        checks.append(check)
        if not as_json:
            mark = click.style("ok   ", fg="green") if check.healthy else click.style("fail ", fg="red")
            click.echo(f"{mark} {check.name:12} {check.sentence}")
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks], indent=1, ensure_ascii=False))
    return int(ExitCode.PASSED if all(check.healthy for check in checks) else ExitCode.ERROR)


main.add_command(commands.compare)
main.add_command(commands.show_history)
main.add_command(commands.plan)
main.add_command(commands.baseline)
main.add_command(init)


def _check_thresholds(config: Config) -> None:
    """Check the thresholds, and the names in them against what the scenario declares.

    Raises:
        UsageError: with every wrong rule; also when the scenario's file cannot be imported.
    """
    if paths_of_scenario(config.scenario):
        declared(config.scenario)  # a file of the user's may be wrong itself
    preflight.check_thresholds(config, lambda: declared(config.scenario).requests)


def _check_host(config: Config) -> None:
    if config.host and preflight.is_known(config):
        check_is_url(config.host, declared(config.scenario).speaking_http)


_NAMES: Final = (_check_thresholds, _check_host)
"""What is checked beside the settings themselves."""


def _check_objective(config: Config) -> None:
    known = preflight.is_known(config)
    thresholds.objective(config, (lambda: declared(config.scenario).requests) if known else None)


def _check_users(config: Config) -> None:
    if not (config.ui or config.slo):  # the start form chooses the load, or the search does
        check_users_fit(config)


def _check_ports(config: Config) -> None:
    takes_sample_target = not preflight.is_known(config) or declared(config.scenario).takes_sample_target
    check_ports_free(config, own_target=takes_sample_target and not config.host)


def _check_answers(config: Config) -> None:
    if config.host and hosts.is_http(config.host):
        check_host_answers(config.host)


_SURROUNDINGS: Final = (_check_users, _check_ports, _check_answers)
"""What a run needs around it."""


class Declared(NamedTuple):
    """What a scenario declares, and what Locust's own options say."""

    scenario: str
    """Its name or path: the locustfile of Locust's settings where ours name none."""
    requests: list[tuple[str, str]]
    """Pairs of method and name."""
    hosts: dict[str, str]
    """The host of each User class that has one."""
    needs_redis: bool
    """Whether its users or its data need the Redis of REDIS_URL."""
    takes_sample_target: bool
    """Whether the sample target is loaded when no other is given."""
    speaking_http: list[str]
    """The User classes that need a base URL of HTTP."""
    settings: dict[str, Any]
    """Our settings that Locust's options, variables and files give."""
    unknown: list[str]
    """Options that neither Locust nor the locustfile knows."""
    known: list[str]
    """Those that they know."""


def declared(scenario: str, options: Sequence[str] = ()) -> Declared:
    """Return what a scenario declares; the options count when it is asked for the first time.

    It is read in a separate process: a scenario's module imports Locust, which replaces the standard library's
    sockets and processes with gevent's, and the stack's supervisor must keep the real ones.

    Raises:
        UsageError: when the scenario's module or file cannot be imported, or holds no scenario.
    """
    if scenario in _declared:
        return _declared[scenario]
    child = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "loadtest.scenarios", scenario, *options], capture_output=True, text=True, check=False
    )
    if child.returncode == ExitCode.USAGE:
        raise UsageError(child.stderr.strip())
    if child.returncode:
        reason = (child.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UsageError(f"SCENARIO={scenario} cannot be imported ({reason}). Next: correct its module.")
    name, requests, *others = json.loads(child.stdout)
    _declared[name] = Declared(name, [(method, label) for method, label in requests], *others)
    return _declared[name]


_declared: dict[str, Declared] = {}


def _supervise(config: Config, folder: RunFolder, *, as_json: bool = False, more: Sequence[str] = ()) -> int:
    """Run the stack to its end; a first signal lets it report, a second one ends it at once."""
    started = time.monotonic()
    screen = Screen(sys.stderr if as_json else sys.stdout)

    def say(part: str, text: str) -> None:
        print(f"{part:12} {text}", file=screen, flush=True)

    load = "capacity search" if config.slo else f"profile {config.profile}"
    say("run", f"scenario {config.scenario}, {load}, results in {folder.path}/")
    _raise_signals()
    master_screen = sys.stderr if as_json else sys.stdout
    known = declared(config.scenario)
    of_classes = None if known.takes_sample_target else known.hosts
    with LocalStack(
        config, folder.logs, say, master_screen, of_classes, needs_redis=known.needs_redis, locust_options=more
    ) as stack:
        say("ready", f"after {time.monotonic() - started:.1f} s")
        try:
            code = stack.wait()
        except Interrupted as interruption:
            say("stopping", "press Ctrl-C again to end at once, without a report")
            code = _drain(stack, folder, say, interruption.signal_number, ui=config.ui)
        for notice in stack.notices:
            say("redis", notice)
        if as_json:
            click.echo((folder.path / "locust.json").read_text())
        return code


class Interrupted(KeyboardInterrupt):
    """A signal told this process to end."""

    def __init__(self, signal_number: int) -> None:
        super().__init__()
        self.signal_number = signal_number


def _raise_signals() -> None:
    """Raise Interrupted for Ctrl-C, SIGTERM and SIGHUP; the last is left ignored where it is (nohup)."""

    def interrupt(signal_number: int, _frame: object) -> NoReturn:
        raise Interrupted(signal_number)

    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signal_number) is not signal.SIG_IGN:
            signal.signal(signal_number, interrupt)


def _drain(
    stack: LocalStack, folder: RunFolder, say: Callable[[str, str], None], signal_number: int, *, ui: bool
) -> int:
    """Let the master report, and return how the run ended; with the web UI, nothing is wrong with ending it."""
    try:
        code = stack.drain(signal_number)
    except KeyboardInterrupt:
        stack.kill()
        return ExitCode.INTERRUPTED
    if ui:
        return ExitCode.INTERRUPTED if code == ExitCode.INTERRUPTED else ExitCode.PASSED
    if not folder.holds_run:
        say("stopped", "before the test began; there is no report")
        return ExitCode.INTERRUPTED
    if code not in tuple(ExitCode):
        raise StackError(
            f"the master ended with exit code {code} instead of reporting. Its log: {folder.logs}/master.log. "
            "Next: read it; the record up to then is in the run's folder."
        )
    return code
