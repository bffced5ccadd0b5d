"""The commands `loadtest kubernetes run` and `loadtest kubernetes fetch`.

Tested by tests/unit/cli/test_kubernetes.py and tests/kubernetes/test_command.py.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from loadtest import __version__, preflight
from loadtest.cli.conduct import NAMES
from loadtest.cli.options import EXIT_CODES, OF_A_RUN, setting_options
from loadtest.comparing import commands
from loadtest.exceptions import StackError
from loadtest.kubernetes import cluster_run, results
from loadtest.kubernetes.cluster_run import ClusterRun, Manifests
from loadtest.kubernetes.kubectl import Kubectl
from loadtest.kubernetes.kustomization import MANIFESTS, Kustomization, base_of, settings_in
from loadtest.progress import Screen, printable
from loadtest.run_folder import new_run_id
from loadtest.scenarios import declared
from loadtest.settings.config import Config
from loadtest.settings.value_types import duration_s

if TYPE_CHECKING:
    from loadtest.comparing.commands import Baseline
    from loadtest.run_folder import RunFolder


@click.group(name="kubernetes")
def on_kubernetes() -> None:
    """Run a load test on a Kubernetes cluster.

    The cluster is that of kubectl's current context.
    """


_NAMESPACE: Final = click.option(
    "-n", "--namespace", metavar="NAME", help="The namespace; by default that of kubectl's context."
)
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
@setting_options(*OF_A_RUN)
@_NAMESPACE
@_IMAGE
@_OPENSHIFT
@click.option(
    "--kustomize",
    "base",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Your own kustomization, built on deploy/kubernetes/base and used in its place.",
)
@click.option(
    "--wait", "wait_s", metavar="DURATION", default="10m", callback=_duration, show_default=True,
    help="How long pods may take to become ready.",
)  # fmt: skip
@click.option("--keep", is_flag=True, help="Leave the job, workers and settings in the namespace.")
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
    """Run a load test on a cluster, and fetch its results.

    \b
    loadtest kubernetes run -n loadtest       the sample target, with Prometheus and Grafana
    loadtest kubernetes run -f load/shop.py --host http://shop.shop:8080 --workers 4
    loadtest kubernetes run --kustomize load/cluster --image registry.example.com/loadtest:1

    The command starts the run, follows it, fetches its results, cleans up, and ends with the run's exit code. The
    volume with the results is kept. The namespace needs the Secret loadtest with a link_key; docs/kubernetes.md says
    how to create it. Settings also come from local_conf/loadtest.env and the environment, as for `loadtest run`.
    """
    config = Config.load(options)
    kubectl = Kubectl(namespace)
    theirs = settings_in(kubectl.rendered(base)) if base else {}
    # Settings of the kustomization that the run does not set; its scenario is in the cluster, not on this machine.
    named = config.model_copy(update={
        name: theirs[name] for name in ("scenario", "profile", "run_id")
        if name in theirs and name not in config.model_fields_set
    })  # fmt: skip
    is_here = named.scenario == config.scenario
    # Credentials are in the Secret, which only the pods can read.
    preflight.check(config.model_copy(update={"accounts_file": None, "token_file": None}), *(NAMES if is_here else ()))
    compared_with = commands.begin_with_baseline(config) if config.baseline else None
    known = declared(config)
    run_id = named.run_id or new_run_id(named.scenario_name, named.profile_name)
    hosts = known.hosts.values() if is_here else ()
    wanted = Kustomization(base or base_of(known, config), image, openshift).of_run(config, hosts, run_id, theirs)
    _say("run", f"scenario {named.scenario}, profile {named.profile}, as {run_id}")
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
    return ended(code, run.folder, compared_with, config.baseline)


def ended(code: int, folder: RunFolder | None, compared_with: Baseline | None, baseline: str | None) -> int:
    """Compare a finished run with its baseline, if one is set, and return the combined exit code.

    Args:
        code: the run's own exit code.
        folder: its results; None where they could not be fetched.
        compared_with: the baseline; None without one.
        baseline: how the setting names it.

    Raises:
        StackError: the run passed but its results could not be fetched; its gate must not pass without them.
    """
    if compared_with is None or (folder is None and code):
        return code
    if folder is None:
        raise StackError(
            f"BASELINE={baseline} was not compared with the run, whose results are not here. Allowed: a run "
            "whose results can be fetched. Next: fetch them, and compare with 'loadtest compare'."
        )
    return commands.end_with_comparison(compared_with, folder.path, code)


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
