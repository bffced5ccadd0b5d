"""deploy/kubernetes is the stack of the Compose file, hardened, and as docs/kubernetes.md describes it."""

import json
import os
import re
import shutil
import socket
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from loadtest import __version__
from loadtest.exceptions import ExitCode, UsageError
from loadtest.kubernetes.cluster_run import Manifests
from loadtest.kubernetes.kubectl import Kubectl
from loadtest.kubernetes.kustomization import SECRETS, Kustomization, settings_in
from loadtest.settings.config import Config, variable
from loadtest.settings.hosts import CLOSED

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
SERVICES = sorted(name for name, service in COMPOSE.items() if "profiles" not in service)
RENDERED = ("base", "demo", "fetch")
WITH_TEMPLATE = ("Deployment", "Job")
COMPONENT = "app.kubernetes.io/component"
PROMETHEUS = "app.kubernetes.io/name"
ALL_OK = 10
"""The grade that kube-score gives where it finds nothing."""
UNITS = {"m": 1, "Mi": 1, "g": 1024, "Gi": 1024}
EXPLAINED = {
    "container-resources": "no CPU limit: what is throttled measures its throttling",
    "container-image-pull-policy": "tags are versions, and images may be loaded into the nodes",
    "container-security-context-user-group-id": "users of public images; the group is the image's, as OpenShift needs",
    "pod-probes": "no livenessProbe: a restart in the midst of a run would be worse than a slow answer",
    "deployment-replicas": "of the demo's services there is one, as in Compose",
    "deployment-strategy": "Recreate: two versions of a worker, or two servers on one store, never run side by side",
    "deployment-has-host-podantiaffinity": "topologySpreadConstraints spread the workers, also over fewer nodes",
    "deployment-has-poddisruptionbudget": "a worker may leave at any time, and a run has no second master",
}
"""What kube-score finds, and why it is so on purpose."""
LINK_PORT = "--master-port=5557"
"""What Locust would else take from a variable that a Service of the namespace may have made."""
BY_TLS = """\
    scheme: https
    tls_config: {ca_file: /etc/prometheus/tls/tls.crt}
"""
"""How the demo's Prometheus scrapes the master, which Compose publishes on 127.0.0.1 only."""
DEFAULT = re.compile(r"\$\{\w+:-([^}]*)\}")  # of a variable in a Compose file

pytestmark = pytest.mark.usefixtures("cluster_tools")


@cache
def rendered(folder: Path) -> list[dict[str, Any]]:
    """Return the objects that `kubectl apply -k` would send."""
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return list(yaml.load_all(done.stdout, yaml.CSafeLoader))


def with_components(folder: Path, *names: str, resources: str = "base") -> list[dict[str, Any]]:
    """Return the objects that a kustomization with components renders."""
    paths = [os.path.relpath(FOLDER / name, folder.resolve()) for name in (resources, *names)]
    whole = {"resources": paths[:1], "components": paths[1:]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(whole))
    return rendered(folder)


def named(kind: str, name: str, folder: str = "demo") -> dict[str, Any]:
    """Return the one object of this kind and name, whose content hash may be left out."""
    (found,) = [
        one
        for one in rendered(FOLDER / folder)
        if one["kind"] == kind and re.sub(r"-[a-z0-9]{10}$", "", one["metadata"]["name"]) == name
    ]
    return found


def pods(folder: Path) -> list[dict[str, Any]]:
    """Return the specs of all pods."""
    objects = rendered(folder)
    templates = [one["spec"]["template"]["spec"] for one in objects if one["kind"] in WITH_TEMPLATE]
    return templates + [one["spec"] for one in objects if one["kind"] == "Pod"]


def pod_of(service: str) -> dict[str, Any]:
    """Return the spec of the pod that stands for a Compose service."""
    name = service.replace("_", "-")
    workload = named("Job", "loadtest") if name == "locust-master" else named("Deployment", name)
    assert workload["spec"]["template"]["metadata"]["labels"][COMPONENT] == name
    spec: dict[str, Any] = workload["spec"]["template"]["spec"]
    return spec


def environment(service: str) -> dict[str, str]:
    """Return the variables of a service's container."""
    return {one["name"]: one["value"] for one in pod_of(service)["containers"][0].get("env", [])}


def in_cluster(text: str) -> str:
    """Return a text of Compose with the defaults of its variables, and with the host names of a cluster."""
    text = DEFAULT.sub(r"\1", text)
    return re.sub(r"(locust_master|target_app|redis_exporter)(?=:\d)", lambda found: found[0].replace("_", "-"), text)


def _seen(pod: dict[str, Any], first: str, volume: str) -> set[str]:
    """Return the paths at which the init container of this name, and the pod's own container, mount a volume."""
    (init,) = [one for one in pod["initContainers"] if one["name"] == first]
    return {one["mountPath"] for part in (init, pod["containers"][0]) for one in part["volumeMounts"]
            if one["name"] == volume}  # fmt: skip


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_has_the_limits_of_compose(service: str) -> None:
    """Memory, user, and the time to end are the same; there is no CPU limit, which would throttle the measurement."""
    pod = pod_of(service)
    limits = pod["containers"][0]["resources"]["limits"]
    assert {"cpu"} & set(limits) == set()
    assert _mib(limits["memory"]) == _mib(COMPOSE[service]["mem_limit"])
    assert pod["terminationGracePeriodSeconds"] == int(COMPOSE[service]["stop_grace_period"].removesuffix("s"))
    if "user" in COMPOSE[service]:  # Prometheus has that of its image
        assert pod["securityContext"]["runAsUser"] == int(DEFAULT.sub(r"\1", COMPOSE[service]["user"]).split(":")[0])


def _mib(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(\w+)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit]


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_has_the_image_of_compose(service: str) -> None:
    """The version is the same; images that Compose builds are tagged with this version, and not pulled if present."""
    container = pod_of(service)["containers"][0]
    built = {"locust_master": "loadtest", "locust_worker": "loadtest", "target_app": "loadtest-target-app"}
    expected = f"{built[service]}:{__version__}" if service in built else in_cluster(COMPOSE[service]["image"])
    assert (container["image"], container["imagePullPolicy"]) == (expected, "IfNotPresent")


def test_commands_and_variables_are_those_of_compose() -> None:
    """Commands and settings are the same; the master has its own run instead of a web UI."""
    master, worker = (pod_of(name)["containers"][0]["command"] for name in ("locust_master", "locust_worker"))
    ours = [word.replace("locust_master", "locust-master") for word in COMPOSE["locust_worker"]["command"]]
    assert master == [*COMPOSE["locust_master"]["command"], "--headless", LINK_PORT]
    assert worker == [*ours, LINK_PORT]
    # In Compose Prometheus chooses addresses that the service under test does not reach; here a policy keeps it out.
    options = [word for word in COMPOSE["prometheus"]["command"] if not word.startswith("--web.listen-address=")]
    assert pod_of("prometheus")["containers"][0]["args"] == options
    # In Compose Docker's own settings may name a proxy for every container.
    for service in ("target_app", "grafana", "redis_exporter"):
        assert environment(service) == {
            name: in_cluster(value)
            for name, value in COMPOSE[service]["environment"].items()
            if name.lower() != "http_proxy"
        } | ({"GF_SERVER_HTTP_ADDR": "127.0.0.1"} if service == "grafana" else {})
    settings = named("ConfigMap", "loadtest-settings")["data"]
    of_compose = COMPOSE["locust_worker"]["environment"]
    for name in ("REDIS_URL", "LOADTEST_SAMPLE_TARGET"):
        assert settings[name] == in_cluster(of_compose[name])
    for name in ("LOADTEST_RUNS_DIR", "LOADTEST_EXPORTER_BIND"):
        assert environment("locust_master")[name] == COMPOSE["locust_master"]["environment"][name]


def test_what_is_ready_is_what_compose_calls_healthy() -> None:
    """The same commands decide."""
    for service in ("redis", "locust_worker", "grafana"):
        _, *command = COMPOSE[service]["healthcheck"]["test"]
        ours = pod_of(service)["containers"][0]["readinessProbe"]["exec"]["command"]
        assert ours[-1 if service == "redis" else 0 :] == [part.replace("$$", "$") for part in command]


def test_a_master_is_ready_when_its_exporter_listens() -> None:
    """The command finds a port that something listens on, here another one than the exporter's."""
    master = named("Job", "loadtest", "base")["spec"]["template"]["spec"]["containers"][0]
    command = master["readinessProbe"]["exec"]["command"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = [word.replace(f":{Config().exporter_port:04X} ", f":{port:04X} ") for word in command]
        listening = subprocess.run(found, check=False).returncode
    assert (found == command, listening, subprocess.run(found, check=False).returncode) == (False, 0, 1)


def test_nothing_listens_in_the_clear_until_a_component_opens_it() -> None:
    """The link is encrypted, and the exporter listens inside its pod only; `demo` opens it over TLS."""
    master = named("Job", "loadtest", "base")["spec"]["template"]["spec"]["containers"][0]
    given = {one["name"] for one in master["env"]}
    assert ([port["name"] for port in master["ports"]], "LOADTEST_EXPORTER_BIND" in given) == (["link"], False)
    assert [port["name"] for port in named("Service", "locust-master", "base")["spec"]["ports"]] == ["link"]
    assert environment("locust_master")["LOADTEST_EXPORTER_TLS_DIR"] == SECRETS
    assert environment("grafana")["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"


def test_every_variable_of_ours_is_a_setting() -> None:
    """A misspelt one would stop the pods."""
    given = {name for service in ("locust_master", "locust_worker") for name in environment(service)}
    given |= set(named("ConfigMap", "loadtest-settings")["data"])
    assert {name for name in given if name.startswith("LOADTEST_")} <= set(map(variable, Config.model_fields))
    assert "LOADTEST_PRIVATE_NETWORK" not in given  # other pods of the namespace are not part of the stack


def test_prometheus_and_grafana_get_the_files_of_compose() -> None:
    """Scrapes are those of Compose, with the names of the cluster; every rule and every dashboard is included."""
    ours = named("ConfigMap", "prometheus")["data"]["prometheus.yml"]
    assert ours.replace(BY_TLS, "", 1) == in_cluster((ROOT / "prometheus" / "prometheus.yml").read_text())
    for name, files in (
        ("prometheus-rules", (ROOT / "prometheus" / "rules").glob("*.yml")),
        ("grafana-dashboards", (ROOT / "grafana" / "dashboards").glob("*.json")),
        ("grafana-provisioning", (ROOT / "grafana" / "provisioning").glob("*/*.yml")),
        ("redis", (file for file in (ROOT / "docker" / "redis").iterdir() if file.name != "kustomization.yaml")),
    ):
        assert named("ConfigMap", name)["data"] == {file.name: file.read_text() for file in files}


def test_the_run_waits_for_all_its_workers() -> None:
    """As many are expected as there are replicas."""
    for folder in ("base", "demo"):
        replicas = named("Deployment", "locust-worker", folder)["spec"]["replicas"]
        assert environment("locust_master")["LOCUST_EXPECT_WORKERS"] == str(replicas)


def test_every_exit_code_but_that_of_a_pass_fails_the_job_by_name() -> None:
    """Each code has a rule, so that the Job's condition names it; and a run is never repeated."""
    job = named("Job", "loadtest", "base")["spec"]
    rules = [(rule["action"], *rule["onExitCodes"]["values"]) for rule in job["podFailurePolicy"]["rules"]]
    assert rules == [("FailJob", int(code)) for code in ExitCode if code is not ExitCode.PASSED]
    assert (job["backoffLimit"], job["template"]["spec"]["restartPolicy"]) == (0, "Never")


@pytest.mark.parametrize("folder", RENDERED)
def test_every_pod_is_restricted(folder: str) -> None:
    """They are `restricted` by Pod Security and stricter: a read-only root, no token, no variables for Services."""
    for pod in pods(FOLDER / folder):
        assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
        security = pod["securityContext"]
        assert (security["runAsNonRoot"], security["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
        assert security["runAsUser"] > 0
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"memory", "ephemeral-storage"} <= set(container["resources"]["limits"])
            assert set(container["resources"]["requests"]) == {"cpu", "memory", "ephemeral-storage"}


@pytest.mark.parametrize("folder", RENDERED)
def test_what_no_policy_allows_is_closed_to_every_pod(folder: str) -> None:
    """This holds in both directions; the pod that copies results is made when a run's policies are gone."""
    objects = rendered(FOLDER / folder)
    closed = [
        one["spec"]["podSelector"]["matchLabels"]
        for one in objects
        if one["kind"] == "NetworkPolicy"
        and set(one["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        and not {"ingress", "egress"} & set(one["spec"])
    ]
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in objects if one["kind"] in WITH_TEMPLATE]
    labels += [one["metadata"]["labels"] for one in objects if one["kind"] == "Pod"]
    assert labels
    assert [pod for pod in labels if not any(selector.items() <= pod.items() for selector in closed)] == []


@pytest.mark.parametrize("folder", RENDERED)
def test_openshift_chooses_user_and_group(tmp_path: Path, folder: str) -> None:
    """With its component no pod requests a user or group."""
    with_components(tmp_path, "openshift", resources=folder)
    asked = [set(pod["securityContext"]) for pod in pods(tmp_path)]
    assert asked == [{"runAsNonRoot", "seccompProfile"}] * len(asked)
    assert asked


@pytest.mark.parametrize("folder", ["base", "demo"])
def test_the_interactive_master_listens_in_its_pod_only(tmp_path: Path, folder: str) -> None:
    """It is a Deployment with the same pod except for its command; anyone who may forward a port sees the web UI."""
    objects = with_components(tmp_path, "interactive", resources=folder)
    assert [one for one in objects if one["kind"] == "Job"] == []
    (master,) = [one for one in objects if one["metadata"]["name"] == "loadtest"]
    ours, job = master["spec"], named("Job", "loadtest", folder)["spec"]
    assert (master["apiVersion"], master["kind"], ours["strategy"]) == ("apps/v1", "Deployment", {"type": "Recreate"})
    assert set(ours) == {"replicas", "selector", "strategy", "template"}
    assert ours["selector"]["matchLabels"].items() <= ours["template"]["metadata"]["labels"].items()
    pod, other = (spec["template"]["spec"] for spec in (ours, job))
    container, headless = pod["containers"][0], other["containers"][0]
    of_run = headless["command"]
    assert container["command"] == ["--web-host=127.0.0.1" if word == "--headless" else word for word in of_run]
    assert [one for one in headless["env"] if one not in container["env"]] == [
        one for one in headless["env"] if one["name"].startswith("LOCUST_EXPECT_WORKERS")
    ]
    same = ("securityContext", "volumes", "automountServiceAccountToken", "enableServiceLinks")
    assert [pod[name] for name in same] == [other[name] for name in same]


@pytest.mark.parametrize(
    ("component", "kind", "least"),
    [("autoscaled", "HorizontalPodAutoscaler", "minReplicas"), ("keda", "ScaledObject", "minReplicaCount")],
)
def test_an_autoscaler_begins_with_the_workers_that_the_run_expects(
    tmp_path: Path, component: str, kind: str, least: str
) -> None:
    """It owns the number: the Deployment sets no field for it."""
    objects = {one["kind"]: one["spec"] for one in with_components(tmp_path, component) if "spec" in one}
    assert "replicas" not in objects["Deployment"]
    assert objects[kind]["scaleTargetRef"]["name"] == named("Deployment", "locust-worker")["metadata"]["name"]
    expected = {"name": "LOCUST_EXPECT_WORKERS", "value": str(objects[kind][least])}
    assert expected in objects["Job"]["template"]["spec"]["containers"][0]["env"]


def test_the_prometheus_operator_gets_rules_dashboards_and_scrapes_of_compose(tmp_path: Path) -> None:
    """They are identical; `make dashboards` generates the rules again."""
    objects = {one["kind"]: one for one in with_components(tmp_path, "prometheus-operator")}
    groups = [group for file in sorted((ROOT / "prometheus" / "rules").glob("*.yml"))
              for group in yaml.safe_load(file.read_text())["groups"]]  # fmt: skip
    assert objects["PrometheusRule"]["spec"]["groups"] == groups, "run `make dashboards`"
    boards = [one for one in with_components(tmp_path, "prometheus-operator")
              if one["metadata"].get("labels", {}).get("grafana_dashboard") == "1"]  # fmt: skip
    files = {file.name: file.read_text() for file in (ROOT / "grafana" / "dashboards").glob("*.json")}
    assert [one["data"] for one in boards] == [files]
    monitor, (scrape, *_) = objects["PodMonitor"]["spec"], _scrapes()
    (endpoint,) = monitor["podMetricsEndpoints"]
    ports = pod_of("locust_master")["containers"][0]["ports"]
    assert endpoint["port"] in [port["name"] for port in ports]
    job = {one["targetLabel"]: one["replacement"] for one in endpoint["relabelings"]}
    assert (job, monitor["sampleLimit"]) == ({"job": scrape["job_name"]}, scrape["sample_limit"])
    by_tls = {"ca": {"secret": {"name": "loadtest", "key": "tls.crt"}}, "serverName": "locust-master"}
    assert (endpoint["scheme"], endpoint["tlsConfig"]) == ("https", by_tls)
    labels = named("Job", "loadtest")["spec"]["template"]["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()


def _scrapes() -> list[dict[str, Any]]:
    scrapes: list[dict[str, Any]] = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())[
        "scrape_configs"
    ]
    return scrapes


def test_every_object_is_valid(tmp_path: Path) -> None:
    """The schemas of Kubernetes know every field; custom resources have definitions of their own, tested below."""
    objects = with_components(tmp_path, "interactive", "autoscaled", "upload", "git", "istio", resources="demo")
    for one in (*objects, *(one for folder in (*RENDERED, "results") for one in rendered(FOLDER / folder))):
        kubernetes_validate.validate(one, "1.35", strict=True)


@pytest.mark.parametrize(
    ("component", "definition"),
    [
        ("keda", "keda.sh_scaledobjects"),
        ("prometheus-operator", "monitoring.coreos.com_podmonitors"),
        ("prometheus-operator", "monitoring.coreos.com_prometheusrules"),
    ],
)
def test_what_an_operator_reads_is_valid_by_its_definition(tmp_path: Path, component: str, definition: str) -> None:
    """An API server drops unknown fields of a custom resource; there are none."""
    text = (ROOT / "tests" / "schemas" / f"{definition}.yaml").read_text()
    defined = yaml.safe_load(text.replace("^(?i)", "(?i)^"))["spec"]  # Go's regular expressions allow a flag anywhere
    (version,) = defined["versions"]
    schema = _strict(version["schema"]["openAPIV3Schema"])
    (made,) = [one for one in with_components(tmp_path, component) if one["kind"] == defined["names"]["kind"]]
    assert made["apiVersion"] == f"{defined['group']}/{version['name']}"
    jsonschema.validate(made, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(made | {"spec": made["spec"] | {"minReplicas": 2}}, schema)


def _strict(schema: Any) -> Any:
    """Return a schema that allows only the fields that it names; that of the metadata names none."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _strict(value) for name, value in schema.items()}
    return {"additionalProperties": False} | found if isinstance(schema.get("properties"), dict) else found


def test_what_kube_score_finds_is_explained(tmp_path: Path) -> None:
    """This covers whatever it calls a warning or critical; explanations of resolved findings must be removed."""
    if shutil.which("kube-score") is None:
        pytest.skip("there is no kube-score: deploy/kubernetes is NOT checked by it; `make kube-score` does that")
    with_components(tmp_path, "interactive", "autoscaled", "upload", "git", "istio", resources="demo")
    found = set()
    for folder in (tmp_path, *(FOLDER / name for name in RENDERED)):
        objects = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, check=True).stdout
        scored = subprocess.run(
            ["kube-score", "score", "--output-format=json", "-"], input=objects, capture_output=True, check=False
        )
        checks = [one for scored_object in json.loads(scored.stdout) for one in scored_object["checks"]]
        assert checks, scored.stderr
        found |= {one["check"]["id"] for one in checks if one["grade"] < ALL_OK and not one["skipped"]}
    assert found == set(EXPLAINED)


def test_no_secret_is_in_the_manifests() -> None:
    """They name a Secret that a person makes; the swarm's pods mount it as files, Prometheus only the certificate."""
    objects = [one for folder in (*RENDERED, "results") for one in rendered(FOLDER / folder)]
    assert [one["metadata"]["name"] for one in objects if one["kind"] == "Secret"] == []
    for service in SERVICES:
        volumes = [one["secret"] for one in pod_of(service).get("volumes", []) if "secret" in one]
        assert {one["secretName"] for one in volumes} == ({"loadtest"} if volumes else set())
        keys = [[item["key"] for item in one.get("items", [])] for one in volumes]
        assert keys == ([[]] if service.startswith("locust") else [["tls.crt"]] if service == "prometheus" else [])


def test_results_are_copied_by_a_pod_that_can_run_where_the_master_did(tmp_path: Path) -> None:
    """It has the image, user and place of the person's own kustomization: a registry may have no other image."""
    image, user = "registry.example.com:5000/loadtest", {"runAsUser": 7, "fsGroup": 7}
    place = {
        "imagePullSecrets": [{"name": "registry"}],
        "nodeSelector": {"pool": "load"},
        "tolerations": [{"key": "load", "operator": "Exists"}],
    }
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "loadtest"}}
    whole = {
        "resources": [os.path.relpath(FOLDER / "base", tmp_path.resolve())],
        "images": [{"name": "loadtest", "newName": image, "newTag": "1.2"}],
        "patches": [{"patch": json.dumps(job | {"spec": {"template": {"spec": place | {"securityContext": user}}}})}],
    }
    (tmp_path / "kustomization.yaml").write_text(json.dumps(whole))
    objects = Manifests.rendered(Kubectl(), Kustomization(tmp_path)).fetch
    (pod,) = [one["spec"] for one in yaml.safe_load_all(objects) if one["kind"] == "Pod"]
    assert {name: pod[name] for name in place} == place
    assert (pod["containers"][0]["image"], pod["securityContext"]) == (
        f"{image}:1.2",
        {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}} | user,
    )


def test_a_kustomization_without_a_run_is_refused(tmp_path: Path) -> None:
    """The web UI's master never ends."""
    with_components(tmp_path, "interactive")
    with pytest.raises(UsageError, match="--kustomize makes no job/loadtest"):
        Manifests.rendered(Kubectl(), Kustomization(tmp_path))


def test_deleting_a_run_keeps_the_results() -> None:
    """The volume is in a separate kustomization."""
    kinds = {folder: {one["kind"] for one in rendered(FOLDER / folder)} for folder in (*RENDERED, "results")}
    assert [folder for folder, found in kinds.items() if "PersistentVolumeClaim" in found] == ["results"]


def test_pods_reach_only_whom_they_share_a_network_with_in_compose() -> None:
    """Each ingress has its egress, both ends share a network in Compose, and the target reaches its store."""
    let_in, let_out = _connections("ingress"), _connections("egress")
    assert let_in == let_out
    networks = {name.replace("_", "-"): set(COMPOSE[name]["networks"]) for name in SERVICES}
    assert [(a, b) for a, b, _ in let_in if not networks[a] & networks[b]] == []
    assert {(b, port) for a, b, port in let_in if a == "target-app"} == {("redis", 6379)}
    assert {(a, port) for a, b, port in let_in if b == "locust-master"} == {
        ("locust-worker", 5557),
        ("prometheus", 9646),
    }
    closed = named("NetworkPolicy", "loadtest-closed")["spec"]
    assert (set(closed["policyTypes"]), {"ingress", "egress"} & set(closed)) == ({"Ingress", "Egress"}, set())


def test_no_policy_opens_an_address_where_clouds_serve_credentials() -> None:
    """Pods with open egress may not reach what `loadtest.settings.hosts` closes to load, over either version of IP."""
    closed = {str(network) for network in CLOSED}
    texts = [path.read_text() for path in sorted(FOLDER.rglob("network.yaml"))]
    opened = [re.findall(r'cidr: "?(?:0\.0\.0\.0|::)/0"?(?:\s+except:\s+\[([^]]*)\])?', text) for text in texts]
    found = [set(re.findall(r"[^\s,\"]+", one)) for each in opened for one in each]
    assert [pair[0] | pair[1] for pair in zip(found[::2], found[1::2], strict=True)] == [closed] * 5


def _connections(direction: str) -> set[tuple[str, str, int]]:
    """Return the connections that the demo's policies of one direction allow, without DNS."""
    found = set()
    for policy in (one["spec"] for one in rendered(FOLDER / "demo") if one["kind"] == "NetworkPolicy"):
        own = policy["podSelector"]["matchLabels"].get(COMPONENT)
        for rule in policy.get(direction, []) if own else []:
            for peer in rule["from" if direction == "ingress" else "to"]:
                labels = peer["podSelector"]["matchLabels"]
                other = labels.get(COMPONENT) or labels[PROMETHEUS]
                pair = (other, own) if direction == "ingress" else (own, other)
                found |= {(*pair, port["port"]) for port in rule["ports"]}
    return found


def test_the_kustomizations_of_the_page_work(tmp_path: Path) -> None:
    """Copied from docs/kubernetes.md, they render: settings unchanged, the number of workers in both places."""
    of_managed, of_a_run, of_git, of_components, of_a_bucket = (
        text.replace("../loadtest-stack/deploy/kubernetes", os.path.relpath(FOLDER, tmp_path / "any"))
        for text in re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "kubernetes.md").read_text(), re.DOTALL)
    )
    texts = {"managed": of_managed, "run": of_a_run, "git": of_git, "components": of_components, "bucket": of_a_bucket}
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "kustomization.yaml").write_text(text)
    built = {c["image"] for pod in pods(tmp_path / "managed") for c in pod["containers"] if "loadtest" in c["image"]}
    assert built == {f"registry.example.com/{name}:{__version__}" for name in ("loadtest", "loadtest-target-app")}
    assert {"Deployment", "HorizontalPodAutoscaler"} <= {one["kind"] for one in rendered(tmp_path / "components")}
    (pod,) = [one["spec"]["template"]["spec"] for one in rendered(tmp_path / "bucket") if one["kind"] == "Job"]
    volumes = {one["name"]: set(one) - {"name"} for one in pod["volumes"]}
    kept = {one["name"]: set(one) - {"name"} for one in named("Job", "loadtest")["spec"]["template"]["spec"]["volumes"]}
    assert volumes == kept | {"runs": {"emptyDir"}}
    assert "LOADTEST_RESULTS_URL_FILE" in {one["name"] for one in pod["containers"][0]["env"]}
    cloned = [one["spec"]["template"]["spec"] for one in rendered(tmp_path / "git") if one["kind"] in WITH_TEMPLATE]
    assert [_seen(pod, "clone", "repository") for pod in cloned] == [{"/git", "/app/repository"}] * 2
    # Those of `loadtest kubernetes run` are still there: rules and profiles.
    volumes = [{one["name"]: one for one in pod["volumes"]} for pod in cloned]
    assert [("configMap" in one["scenarios"], one["repository"]["emptyDir"]) for one in volumes] == [(True, {})] * 2
    (tmp_path / "run" / "shop.py").write_text("scenario")
    objects = rendered(tmp_path / "run")
    own = Kustomization(tmp_path / "run").of_run(Config(), [], "night", settings_in(yaml.safe_dump_all(objects)))
    assert {"LOADTEST_SCENARIO", "LOADTEST_PROFILE"} & {name for name, _ in own.settings} == set()
    (settings,) = [one["data"] for one in objects if one["metadata"]["name"].startswith("loadtest-settings-")]
    assert settings["LOADTEST_THRESHOLD"] == 'p99(response_time){name="buy"} < 250ms, error_ratio < 0.1%'
    (job,) = [one["spec"]["template"]["spec"]["containers"][0] for one in objects if one["kind"] == "Job"]
    (workers,) = [one["spec"]["replicas"] for one in objects if one["kind"] == "Deployment"]
    assert {"name": "LOCUST_EXPECT_WORKERS", "value": str(workers)} in job["env"]
    assert job["image"].startswith("registry.example.com/loadtest:")
