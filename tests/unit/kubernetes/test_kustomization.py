"""The changes of a run to the manifests."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from loadtest.exceptions import UsageError
from loadtest.kubernetes.kustomization import (
    LONGEST_BYTES,
    MANIFESTS,
    PASSED_ON,
    SECRETS,
    Kustomization,
    base_of,
    settings_in,
)
from loadtest.scenarios import declared
from loadtest.settings.config import Config

RULE = """p99(response_time){name="buy"} < 250ms, 'error_ratio' < 0.1% $HOME "  """


def of_run(hosts: list[str] | None = None, **settings: object) -> Kustomization:
    """Return the kustomization of a run with these settings."""
    config = Config.load({"host": "http://shop.shop:8080"} | settings, environ={}, file=Path("/nonexistent"))
    return Kustomization(MANIFESTS / "base").of_run(config, hosts or [], "night.1")


def written(run: Kustomization, folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the written kustomization, and its settings."""
    folder.mkdir()
    run.write(folder)
    whole = json.loads((folder / "kustomization.yaml").read_text())
    return whole, {path.name: path.read_text() for path in (folder / "settings").iterdir()}


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    """A scenario in a file."""
    (tmp_path / "shop.py").write_text("# a scenario")
    return tmp_path / "shop.py"


def test_settings_reach_the_pods_unchanged(tmp_path: Path) -> None:
    """Quotes, blanks and dollar signs are kept; settings for this machine only are left out."""
    run = of_run(threshold=RULE, users="7", exporter_port="0", runs_dir="elsewhere")
    _, settings = written(run, tmp_path / "run")
    assert settings["LOADTEST_THRESHOLD"] == RULE
    assert (settings["LOADTEST_USERS"], settings["LOADTEST_RUN_ID"]) == ("7", "night.1")
    assert not {"LOADTEST_EXPORTER_PORT", "LOADTEST_RUNS_DIR"} & set(settings)


def test_every_setting_that_is_passed_on_exists() -> None:
    """A misspelt one would be dropped silently."""
    assert set(Config.model_fields) >= PASSED_ON


def test_files_become_keys_that_pods_see_in_one_folder(tmp_path: Path, scenario: Path) -> None:
    """The keys are scenario and thresholds; this folder's rules are those of the run, whatever the image has."""
    own = tmp_path / "own.toml"
    own.write_text("")
    whole, settings = written(of_run(scenario=str(scenario), thresholds_file=str(own)), tmp_path / "run")
    assert (settings["LOADTEST_SCENARIO"], settings["LOADTEST_THRESHOLDS_FILE"]) == (
        "scenarios/shop.py",
        "scenarios/own.toml",
    )
    files = whole["configMapGenerator"][1]
    assert (files["name"], set(files["files"])) == (
        "loadtest-scenarios",
        {"shop.py=files/shop.py", "own.toml=files/own.toml", "profiles.toml=files/profiles.toml"},
    )
    assert (tmp_path / "run" / "files" / "shop.py").read_bytes() == scenario.read_bytes()


OWN = """
kind: ConfigMap
metadata: {name: loadtest-settings-4kb8f2h5tm}
data:
  LOADTEST_SCENARIO: scenarios/night.py
  LOADTEST_PROFILE: night
  LOADTEST_PROFILES_FILE: scenarios/profiles.toml
  LOADTEST_THRESHOLDS_FILE: scenarios/night.toml
  REDIS_URL: redis://shop
---
kind: ConfigMap
metadata: {name: prometheus}
"""
"""Part of what a person's own kustomization renders."""


def test_defaults_do_not_take_the_place_of_what_a_kustomization_sets(tmp_path: Path) -> None:
    """Another scenario would be another test, and other thresholds another verdict."""
    theirs = settings_in(OWN)
    assert theirs["redis_url"] == "redis://shop"
    config = Config.load({"users": "7"}, environ={}, file=Path("/nonexistent"))
    whole, settings = written(Kustomization(tmp_path).of_run(config, [], "night", theirs), tmp_path / "run")
    assert settings == {"LOADTEST_USERS": "7", "LOADTEST_RUN_ID": "night"}
    assert [one["name"] for one in whole["configMapGenerator"]] == ["loadtest-settings"]


def test_what_is_set_takes_the_place_of_what_a_kustomization_sets(tmp_path: Path, scenario: Path) -> None:
    """As everywhere, the command line takes precedence."""
    config = Config.load({"scenario": str(scenario), "profile": "smoke"}, environ={}, file=Path("/nonexistent"))
    made = Kustomization(tmp_path).of_run(config, [], "night", settings_in(OWN))
    _, settings = written(made, tmp_path / "run")
    assert set(settings) == {"LOADTEST_SCENARIO", "LOADTEST_PROFILE", "LOADTEST_RUN_ID"}
    assert (settings["LOADTEST_SCENARIO"], settings["LOADTEST_PROFILE"]) == ("scenarios/shop.py", "smoke")


def test_the_host_of_a_kustomization_is_checked_too(tmp_path: Path) -> None:
    """It is loaded if no other is set."""
    config = Config.load({}, environ={}, file=Path("/nonexistent"))
    with pytest.raises(UsageError, match=re.escape("HOST=http://localhost is, in a pod")):
        Kustomization(tmp_path).of_run(config, [], "night", {"host": "http://localhost"})


def test_the_workload_of_this_folder_is_that_of_the_run(tmp_path: Path) -> None:
    """This applies to a scenario that has one, whatever the image has."""
    whole, settings = written(of_run(scenario="key_value"), tmp_path / "run")
    assert settings["LOADTEST_WORKLOAD_FILE"] == "scenarios/key_value.toml"
    assert "key_value.toml=files/key_value.toml" in whole["configMapGenerator"][1]["files"]


def test_the_number_of_workers_is_in_both_places(tmp_path: Path) -> None:
    """The load begins once that many have joined."""
    whole, _ = written(of_run(workers="7"), tmp_path / "run")
    assert whole["replicas"] == [{"name": "locust-worker", "count": 7}]
    assert '{"name": "LOCUST_EXPECT_WORKERS", "value": "7"}' in whole["patches"][0]["patch"]


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("loadtest:1", {"newName": "loadtest", "newTag": "1"}),
        ("host:5000/a/b", {"newName": "host:5000/a/b"}),
        ("host:5000/a/b:1.2", {"newName": "host:5000/a/b", "newTag": "1.2"}),
        (f"a@sha256:{'0' * 64}", {"newName": "a", "digest": f"sha256:{'0' * 64}"}),
    ],
)
def test_an_image_is_taken_apart(tmp_path: Path, image: str, parts: dict[str, str]) -> None:
    """The port of a registry is not a tag."""
    whole, _ = written(Kustomization(MANIFESTS / "fetch", image), tmp_path / "run")
    assert whole["images"] == [{"name": "loadtest", **parts}]


def test_fields_of_a_pod_take_the_place_of_its_own(tmp_path: Path) -> None:
    """This holds whether the pod has them or not."""
    pod = {"securityContext": {"runAsUser": 7}, "nodeSelector": {"pool": "load"}}
    whole, _ = written(Kustomization(MANIFESTS / "fetch", pod=pod), tmp_path / "run")
    patches = json.loads(whole["patches"][0]["patch"])
    assert [(one["op"], one["path"], one["value"]) for one in patches] == [
        ("add", "/spec/securityContext", {"runAsUser": 7}),
        ("add", "/spec/nodeSelector", {"pool": "load"}),
    ]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"host": "http://localhost:8000"}, "HOST=http://localhost:8000 is, in a pod, the pod itself"),
        ({"redis_url": "redis://127.0.0.1"}, "REDIS_URL=redis://127.0.0.1 is, in a pod"),
        ({"token_file": "local_conf/token"}, f"TOKEN_FILE=local_conf/token is on this machine.*{SECRETS}/KEY"),
        ({"accounts_file": "accounts.csv"}, "ACCOUNTS_FILE=accounts.csv is on this machine"),
        ({"feed": "-.csv"}, "FEED=-.csv does not reach a pod"),
        ({"until_decided": "1"}, "UNTIL_DECIDED=1 has no effect in a cluster"),
    ],
)
def test_what_pods_cannot_see_is_refused(settings: dict[str, str], words: str) -> None:
    """The error is one sentence with the files that they see."""
    with pytest.raises(UsageError, match=words):
        of_run(**settings)


@pytest.mark.parametrize("name", ["LOADTEST_HOST", "REDIS_URL", "LOADTEST_FEED"])
def test_a_password_in_a_setting_is_refused(name: str) -> None:
    """It would be in a ConfigMap, which everyone with access to the namespace can read."""
    config = Config.load(environ={name: "redis://ann:hunter2@shop.shop/0"}, file=Path("/nonexistent"))
    with pytest.raises(UsageError, match=f"{name.removeprefix('LOADTEST_')} contains a password") as refused:
        Kustomization(MANIFESTS / "base").of_run(config, [], "night")
    assert "hunter2" not in str(refused.value)


def test_the_host_of_a_user_class_is_checked_too() -> None:
    """It is loaded if no other is set."""
    with pytest.raises(UsageError, match=re.escape("HOST=http://127.0.0.1:1 is, in a pod")):
        of_run(["http://127.0.0.1:1"], host=None)


@pytest.mark.parametrize(
    ("name", "size_bytes", "words"),
    [
        ("users.csv", LONGEST_BYTES + 1, "a ConfigMap holds 1,048,576"),
        ("profiles.toml", 1, "two files are named profiles.toml"),
        ("user list.csv", 1, "cannot be a key of a ConfigMap"),
    ],
)
def test_files_that_a_config_map_cannot_hold_are_refused(
    tmp_path: Path, name: str, size_bytes: int, words: str
) -> None:
    """They are too large, have the same name, or one that is not a valid key."""
    (tmp_path / name).write_bytes(b"x" * size_bytes)
    with pytest.raises(UsageError, match=words):
        of_run(feed=str(tmp_path / name))


@pytest.mark.parametrize(
    ("scenario", "settings", "base"),
    [
        ("documents", {}, "demo"),
        ("documents", {"host": "http://shop"}, "base"),
        ("documents", {"redis_url": "redis://shop"}, "demo"),
        ("key_value", {}, "demo"),
        ("key_value", {"redis_url": "redis://shop"}, "base"),
        ("key_value", {"host": "http://shop"}, "demo"),
    ],
)
def test_the_demo_runs_where_its_target_or_its_redis_is_loaded(
    scenario: str, settings: dict[str, str], base: str
) -> None:
    """A scenario that loads only Redis needs no other host."""
    assert base_of(declared(Config(scenario=scenario)), Config(scenario=scenario, **settings)) == MANIFESTS / base
