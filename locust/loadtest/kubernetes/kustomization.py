"""Kustomization: adapts a kustomization of deploy/kubernetes to a run, from the same settings as any other run.

Files that the settings name become keys of a ConfigMap, which pods see as a folder. Credentials do not: they belong in
the Secret.

Tested in tests/unit/kubernetes/test_kustomization.py.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from loadtest.exceptions import UsageError
from loadtest.feeding.file_formats import is_standard_input
from loadtest.measuring import spans
from loadtest.profiles.profile import PROFILES_FILE
from loadtest.settings import shipped
from loadtest.settings.config import setting_of, variable
from loadtest.settings.hosts import leads_here
from loadtest.settings.scenario_files import SCENARIO_ENDING, paths_of_scenario
from loadtest.settings.urls import has_password, without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from loadtest.scenarios import Declared
    from loadtest.settings.config import Config

MANIFESTS: Final = shipped.ROOT / "deploy" / "kubernetes"
LONGEST_BYTES: Final = 1024 * 1024
"""The capacity of a ConfigMap."""
SECRETS: Final = "/run/secrets/loadtest"
_MOUNTED: Final = "scenarios"
_FILES: Final = ("feed", "profiles_file", "thresholds_file", "workload_file")
_CREDENTIALS: Final = ("accounts_file", "token_file")
PASSED_ON: Final = frozenset({
    "users", "spawn_rate", "rate", "run_time", "warm_up", "threshold", "host", "allowed_hosts", "redis_url",
    "feed_policy", "keep_data", "client", "fast", "fewer_workers", "evidence", "version",
    "exporter_compatibility", "trace_sample",
    *_FILES, *_CREDENTIALS,
})  # fmt: skip
"""The settings that have the same meaning in a pod; the others concern this machine, or are set by the manifests."""
_VARIABLES_OF_OTHERS: Final = (
    *("LOCUST_TAGS", "LOCUST_EXCLUDE_TAGS"),
    *(name for name in spans.VARIABLES if name not in spans.HEADERS),  # which may contain a secret
)
_IMAGE: Final = re.compile(r"(?P<name>[^@]+?)(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?")


@dataclass(frozen=True)
class Kustomization:
    """A kustomization on top of another one.

    Args:
        base: the folder of the other one.
        image: the image of master and workers; None for the base's.
        openshift: leave users and groups to OpenShift.
        workers: how many there are; None for as many as in the base.
        settings: environment variables of master and workers.
        files: the files that they see as scenarios/, by name.
        pod: fields of its pod, in place of the base's.
    """

    base: Path
    image: str | None = None
    openshift: bool = False
    workers: int | None = None
    settings: tuple[tuple[str, str], ...] = ()
    files: tuple[Path, ...] = ()
    pod: dict[str, Any] | None = None

    def of_run(
        self, config: Config, hosts: Iterable[str], run_id: str, theirs: Mapping[str, str] | None = None
    ) -> Kustomization:
        """Return a copy with the settings of a run.

        Args:
            config: the settings.
            hosts: those of the User classes, which are loaded where `host` is not set.
            run_id: the run's name.
            theirs: the settings of the user's own kustomization, by name; defaults do not override them.

        Raises:
            UsageError: for a file or an address that pods cannot see, and a run that could not end by its comparison.
        """
        if config.until_decided:
            raise UsageError(
                "UNTIL_DECIDED=1 has no effect in a cluster, which has no baseline. Allowed: a run that is compared "
                "after its end. Next: leave it out; BASELINE may stay."
            )
        theirs = theirs or {}
        given: dict[str, Any] = config.model_dump(mode="json", exclude_unset=True, include=set(PASSED_ON))
        defaults = _defaults(config).items()
        given |= {name: value for name, value in defaults if name in config.model_fields_set or name not in theirs}
        given["run_id"] = run_id
        named = config.host or theirs.get("host")
        for host in [named] if named else hosts:
            _check_reachable("HOST", host)
        _check_reachable("REDIS_URL", config.redis_url or "")
        files = list(_scenario_files(given["scenario"])) if "scenario" in given else []
        if files:
            given["scenario"] = ",".join(_seen(file) for file in files)
        if config.feed and is_standard_input(config.feed):
            raise UsageError(
                f"FEED={config.feed} does not reach a pod, which has no standard input. Allowed: a file, or the URL of "
                "a store. Next: save the input to a file."
            )
        for name in (*_FILES, *(["profile"] if Path(config.profile).is_file() else [])):
            if given.get(name) and "://" not in str(given[name]):
                files.append(Path(str(given[name])))
                given[name] = _seen(files[-1])
        _check_files(files)
        _check_secrets(given)
        texts = {name: str(int(value)) if isinstance(value, bool) else str(value) for name, value in given.items()}
        of_others = [(name, os.environ[name]) for name in _VARIABLES_OF_OTHERS if os.environ.get(name)]
        for name, text in of_others:
            _check_password(name, text)
        settings = (*((variable(name), text) for name, text in texts.items()), *of_others)
        return replace(self, workers=config.workers, settings=settings, files=tuple(files))

    def write(self, folder: Path) -> None:
        """Write it into an empty folder, where kubectl renders it."""
        folder = folder.resolve()
        (folder / "settings").mkdir()
        (folder / "files").mkdir()
        for name, text in self.settings:  # as files, because Kustomize takes quotes off the ends of literals
            (folder / "settings" / name).write_text(text, encoding="utf-8")
        for file in self.files:
            shutil.copyfile(file, folder / "files" / file.name)
        whole: dict[str, Any] = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [os.path.relpath(self.base.resolve(), folder)],
        }
        if self.image:
            whole["images"] = [_image(self.image)]
        if self.openshift:
            whole["components"] = [os.path.relpath((MANIFESTS / "openshift").resolve(), folder)]
        if self.settings:
            whole["configMapGenerator"] = [
                _merged("loadtest-settings", "settings", [name for name, _ in self.settings]),
                *([_merged("loadtest-scenarios", "files", [one.name for one in self.files])] if self.files else []),
            ]
        if self.workers:
            whole["replicas"] = [{"name": "locust-worker", "count": self.workers}]
            whole["patches"] = [_expecting(self.workers)]
        if self.pod:
            fields = [{"op": "add", "path": f"/spec/{name}", "value": value} for name, value in self.pod.items()]
            whole["patches"] = [{"target": {"kind": "Pod"}, "patch": json.dumps(fields)}]
        (folder / "kustomization.yaml").write_text(json.dumps(whole, indent=1), encoding="utf-8")  # JSON is YAML


def settings_in(objects: str) -> dict[str, str]:
    """Return the settings that master and workers have in rendered objects, by name."""
    found: dict[str, str] = {}
    for one in yaml.safe_load_all(objects):
        if one and one["kind"] == "ConfigMap" and one["metadata"]["name"].startswith("loadtest-settings-"):
            found = {setting_of(name) or name: text for name, text in one["data"].items()}
    return found


def _defaults(config: Config) -> dict[str, str]:
    """Return the defaults of a run without settings.

    The files are those of this folder: the image has its own, and other rules could give another verdict.
    """
    found = {
        "scenario": config.scenario,
        "profile": config.profile,
        "thresholds_file": str(shipped.own_or_shipped(config.thresholds_file)),
        "profiles_file": str(config.profiles_file or shipped.own_or_shipped(PROFILES_FILE)),
    }
    if config.scenario == "key_value":
        found["workload_file"] = str(shipped.own_or_shipped(config.workload_file))
    return found


def _merged(name: str, folder: str, names: list[str]) -> dict[str, Any]:
    return {"name": name, "behavior": "merge", "files": [f"{one}={folder}/{one}" for one in names]}


def _expecting(workers: int) -> dict[str, Any]:
    expected = [{"name": "LOCUST_EXPECT_WORKERS", "value": str(workers)}]
    pod = {"spec": {"containers": [{"name": "master", "env": expected}]}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "loadtest"}, "spec": {"template": pod}}
    return {"target": {"kind": "Job", "name": "loadtest"}, "patch": json.dumps(job)}


def _image(image: str) -> dict[str, str]:
    """Return an image by name, tag and digest, as Kustomize takes it; a registry port is not a tag."""
    matched = _IMAGE.fullmatch(image)
    if matched is None or not re.fullmatch(r"[\w.:/-]+", matched["name"]):
        raise UsageError(
            f"--image={image} is not the name of an image. Allowed: NAME, NAME:TAG or NAME@sha256:DIGEST. Next: name "
            "one that the cluster has, such as registry.example.com/loadtest:0.1.0."
        )
    parts = {"newName": matched["name"], "newTag": matched["tag"], "digest": matched["digest"]}
    return {"name": "loadtest", **{key: text for key, text in parts.items() if text}}


def _scenario_files(scenario: str) -> Iterable[Path]:
    for path in paths_of_scenario(scenario):
        yield from sorted(path.glob(f"*{SCENARIO_ENDING}")) if path.is_dir() else [path]


def _seen(file: Path) -> str:
    """Return the path of a file as the pods see it."""
    return f"{_MOUNTED}/{file.name}"


def _check_files(files: list[Path]) -> None:
    names = [file.name for file in files]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(
            f"two files are named {sorted(twice)[0]}, and pods mount both in one folder. Allowed: different names. "
            "Next: rename one."
        )
    if wrong := [name for name in names if not re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", name)]:
        raise UsageError(
            f"{wrong[0]!r} cannot be a key of a ConfigMap. Allowed: letters, digits, . _ and -. Next: rename the file."
        )
    size_bytes = sum(file.stat().st_size for file in files)
    if size_bytes > LONGEST_BYTES:
        raise UsageError(
            f"{', '.join(names)} are {size_bytes:,} bytes, and a ConfigMap holds {LONGEST_BYTES:,}. Allowed: at most "
            "that. Next: build an image on top of loadtest that contains them, and set it with --image."
        )


def _check_secrets(given: dict[str, Any]) -> None:
    for name in _CREDENTIALS:
        if given.get(name) and not str(given[name]).startswith(f"{SECRETS}/"):
            raise UsageError(
                f"{name.upper()}={given[name]} is on this machine, and credentials go to pods in a Secret only. "
                f"Allowed: {SECRETS}/KEY, a key of the Secret loadtest. Next: add the file to it, and use that path."
            )
    for name in ("host", "redis_url", "feed"):
        _check_password(name.upper(), str(given.get(name) or ""))


def _check_password(name: str, text: str) -> None:
    if has_password(text):
        raise UsageError(
            f"{name} contains a password, which everyone who may read the namespace would see. Allowed: a URL without "
            "one. Next: see docs/kubernetes.md on Secrets."
        )


def base_of(known: Declared, config: Config) -> Path:
    """Return the manifests of a run: with a sample target and its Redis where they are what is loaded."""
    if known.loads_only_redis:
        takes_demo = not (config.redis_url or known.hosts)
    else:
        takes_demo = known.takes_sample_target and not config.host
    return MANIFESTS / ("demo" if takes_demo else "base")


def _check_reachable(name: str, value: str) -> None:
    if leads_here(value):
        raise UsageError(
            f"{name}={without_credentials(value)} is, in a pod, the pod itself. Allowed: an address that pods can "
            f"reach. Next: use the service's, such as {name}=http://shop.shop-test:8080."
        )
