"""The registry of scenarios."""

import sys
from pathlib import Path

import pytest
from locust import User

from loadtest import scenarios
from loadtest.exceptions import UsageError


def test_built_in_scenarios_are_found_by_name() -> None:
    """Every module is a scenario, except those whose name begins with an underscore."""
    assert {"documents", "health"} <= set(scenarios.names())
    assert [name for name in scenarios.names() if name.startswith("_")] == []


@pytest.mark.parametrize("name", scenarios.names())
def test_every_scenario_says_its_name_users_and_requests(name: str) -> None:
    """Its name is its module's, its users record under it, and its requests are named after it."""
    scenario = scenarios.load(name)
    assert scenario.name == name
    assert {user_class.scenario for user_class in scenario.user_classes} == {name}
    assert [user_class for user_class in scenario.user_classes if not issubclass(user_class, User)] == []
    assert {label.partition("/")[0] for _, label in scenario.requests} == {name}
    assert len(scenario.requests) == len(set(scenario.requests))


@pytest.mark.parametrize(
    ("name", "advice"), [("document", "did you mean documents?"), ("zzz", "use one of them"), ("_users", "Allowed")]
)
def test_an_unknown_scenario_is_a_usage_error_that_helps(name: str, advice: str) -> None:
    """The message has the value, the existing names and the nearest one."""
    with pytest.raises(UsageError) as raised:
        scenarios.load(name)
    message = str(raised.value)
    assert [part for part in (f"SCENARIO={name} ", "documents, ", "health", advice) if part not in message] == []


def file_of(folder: Path, text: str, name: str = "mine.py") -> str:
    """Write a file and return its path."""
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_a_file_is_loaded_by_its_path(tmp_path: Path) -> None:
    """A path names a scenario wherever it is; its requests have its name, and its neighbours can be imported."""
    file_of(tmp_path, "LABEL = 'home'\n", "neighbour_of_mine.py")
    path = file_of(
        tmp_path,
        "from neighbour_of_mine import LABEL\n"
        "from loadtest.clients.http import HttpUser\n"
        "from loadtest.scenarios import Scenario\n"
        "class Mine(HttpUser):\n    scenario = 'mine'\n"
        "scenario = Scenario('mine', (Mine,), (('GET', f'mine/{LABEL}'),))\n",
    )
    scenario = scenarios.load(path)
    assert (scenario.name, scenario.requests) == ("mine", (("GET", "mine/home"),))
    assert scenarios.requests_of("mine") == scenario.requests
    assert str(tmp_path) not in sys.path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "there is no such file"),
        ("from locust import HttpUser\n", "it has no User class"),
        ("import sys\nsys.exit()\n", "line 2: SystemExit"),
        ("x = 1\ny = (\n", "line 2: SyntaxError"),
        ("\nimport no_such_module\n", "line 2: ModuleNotFoundError: No module named 'no_such_module'"),
        ("def f():\n    return 1 / 0\n\n\nf()\n", "line 2: ZeroDivisionError"),
        ("x = '\0'\n", "source code"),  # ValueError in Python 3.11.2, SyntaxError later
        (
            "from loadtest.scenarios import Scenario\nscenario = Scenario('another', (), ())\n",
            "its scenario is named 'another'",
        ),
    ],
)
def test_a_file_without_a_scenario_is_refused_with_the_reason(tmp_path: Path, text: str | None, words: str) -> None:
    """The error has the file, the line, the reason and the next step."""
    path = str(tmp_path / "mine.py") if text is None else file_of(tmp_path, text)
    with pytest.raises(UsageError) as raised:
        scenarios.load(path)
    message = str(raised.value)
    assert [part for part in (f"SCENARIO={path}", words, "Allowed: ", "Next: ") if part not in message] == []


@pytest.mark.parametrize("path", ["mine.py", "./mine.py", "../{folder}/mine.py"])
def test_the_line_is_named_for_a_relative_path_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """The module that Python makes of a file has only its absolute path."""
    file_of(tmp_path, "\nimport no_such_module\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="line 2: ModuleNotFoundError"):
        scenarios.load(path.format(folder=tmp_path.name))


LOCUSTFILE = """
from locust import FastHttpUser, HttpUser, LoadTestShape, User, task

class Base(HttpUser):
    abstract = True

class Shopper(Base):
    host = "http://127.0.0.1:8000"

class Custom(User):
    scenario = "checkout"

class Steps(LoadTestShape):
    def tick(self):
        return None
"""


def test_an_ordinary_locustfile_is_a_scenario_of_its_name(tmp_path: Path) -> None:
    """Its User classes and its shape are used unchanged; a class that names a scenario keeps that."""
    scenario = scenarios.load(file_of(tmp_path, LOCUSTFILE, "locustfile.py"))
    assert (scenario.name, scenario.requests) == ("locustfile", ())
    assert [(one.__name__, one.scenario) for one in scenario.user_classes] == [
        ("Shopper", "locustfile"),
        ("Custom", "checkout"),
    ]
    assert sorted(scenario.classes) == ["Custom", "Shopper", "Steps"]
    assert scenario.hosts == {"Shopper": "http://127.0.0.1:8000"}


def test_several_files_and_a_folder_are_one_scenario(tmp_path: Path) -> None:
    """As with Locust's -f, a helper without users is imported too, and a class that two files share runs once."""
    file_of(tmp_path, "from locust import HttpUser\nclass Base(HttpUser):\n    host = 'http://a'\n", "of_both_basis.py")
    for name in ("shop", "admin"):
        file_of(tmp_path, f"from of_both_basis import Base\nclass {name.title()}(Base): pass\n", f"{name}.py")
    several = scenarios.load(f"{tmp_path}/shop.py,{tmp_path}/admin.py")
    assert several.name == "shop-admin"
    assert [(kind.__name__, kind.scenario) for kind in several.user_classes] == [
        (name, "shop-admin") for name in ("Base", "Shop", "Admin")
    ]
    folder = scenarios.load(str(tmp_path))
    assert folder.name == tmp_path.name
    assert {(kind.__name__, kind.scenario) for kind in folder.user_classes} == {
        (name, tmp_path.name) for name in ("Base", "Shop", "Admin")
    }


def test_several_files_keep_the_hooks_of_each(tmp_path: Path) -> None:
    """All are called, once and in the order of the files; teardowns even after one that raised, setups not."""
    text = """
from locust import User
from loadtest.scenarios import Scenario
class {kind}(User):
    calls = []
def note(what):
    def hook(*arguments):
        {kind}.calls.append(what)
        if what == {fails!r}:
            raise ValueError(what)
        return 2
    return hook
scenario = Scenario("{name}", ({kind},), setup=note("setup"), teardown=note("teardown"), load_data=note("load"),
                    remove_data=note("remove"))
"""
    (tmp_path / "shop.py").write_text(text.format(kind="Shopper", name="shop", fails="teardown"))
    (tmp_path / "admin.py").write_text(text.format(kind="Admin", name="admin", fails="setup"))
    several = scenarios.load(f"{tmp_path}/shop.py,{tmp_path}/admin.py,{tmp_path}/shop.py")
    shopper, admin = several.user_classes[0], several.user_classes[1]
    assert (several.load_data("", None), several.remove_data("", "")) == (4, 4)
    with pytest.raises(ValueError, match="setup"):
        several.setup(None)
    with pytest.raises(ValueError, match="teardown"):
        several.teardown(None)
    assert [shopper.calls, admin.calls] == [["load", "remove", "setup", "teardown"]] * 2


def test_two_user_classes_of_one_name_are_refused(tmp_path: Path) -> None:
    """Locust would use only one of them."""
    paths = [file_of(tmp_path, "from locust import User\nclass Same(User): pass\n", f"{name}.py") for name in "xy"]
    with pytest.raises(UsageError, match=r"x\.py and .*y\.py both have a User class Same"):
        scenarios.load(",".join(paths))


def test_the_tests_of_a_pytest_file_are_user_classes(tmp_path: Path) -> None:
    """If a file has no User class, its test functions are users, as in Locust."""
    path = file_of(tmp_path, "def test_home(session):\n    session.get('/')\n", "test_of_users.py")
    assert [kind.__name__ for kind in scenarios.load(path).user_classes] == ["test_home"]


def test_locust_takes_the_first_of_several_shapes(tmp_path: Path) -> None:
    """Locust's class picker offers the others."""
    text = "from locust import LoadTestShape as L, User\nclass U(User): pass\nclass A(L): pass\nclass B(L): pass\n"
    assert list(scenarios.load(file_of(tmp_path, text)).classes) == ["U", "A", "B"]


@pytest.mark.parametrize("name", scenarios.names())
def test_a_built_in_scenario_leaves_the_host_to_the_stack(name: str) -> None:
    """Its host is not an existing service: without HOST, the stack starts the sample target."""
    assert scenarios.load(name).hosts == {}


def test_the_files_of_a_scenario_are_its_own_and_those_that_it_imports_from_their_folder(tmp_path: Path) -> None:
    """Other files in the folder do not belong to it; a built-in scenario consists of the package's files."""
    helper = file_of(tmp_path, "PAUSE_S = 1\n", "beside_the_sourced.py")
    file_of(tmp_path, "", "never_imported.py")
    path = file_of(
        tmp_path,
        "import json, beside_the_sourced\nfrom locust import HttpUser\nclass Mine(HttpUser):\n    pass\n",
        "sourced.py",
    )
    scenarios.load(path)
    assert scenarios.files_of(path) == tuple(sorted(map(Path.resolve, (Path(helper), Path(path)))))
    assert scenarios.files_of("health") == ()


def test_an_unknown_scenario_declares_no_requests() -> None:
    """User classes outside the registry have no declared requests."""
    assert scenarios.requests_of("unknown") == ()


def test_a_scenario_that_loads_only_redis_takes_no_sample_target(tmp_path: Path) -> None:
    """It neither starts, loads nor names one; a scenario that also loads a service does."""
    sources = "from loadtest.clients.http import HttpUser\nfrom loadtest.clients.redis import RedisJsonUser\n"
    of_redis = "class A(RedisJsonUser):\n    redis_url = 'redis://shop:1'\n"
    alone = scenarios.load(file_of(tmp_path, sources + of_redis, "alone.py"))
    assert (alone.loads_only_redis, alone.takes_sample_target, alone.hosts) == (True, False, {"A": "redis://shop:1"})
    beside = scenarios.load("documents")
    assert (beside.loads_only_redis, beside.takes_sample_target, beside.hosts) == (False, True, {})
    built_in = scenarios.load("key_value")
    assert (built_in.loads_only_redis, built_in.takes_sample_target, built_in.hosts) == (True, False, {})
    of_http = "class A(HttpUser):\n    host = 'http://shop'\n"
    http = scenarios.load(file_of(tmp_path, sources + of_http, "http.py"))
    assert (http.loads_only_redis, http.hosts) == (False, {"A": "http://shop"})


def test_a_redis_is_needed_by_who_names_none(tmp_path: Path) -> None:
    """Users that all name their own Redis need none to be started, unless data is loaded."""
    sources = "from loadtest.clients.redis import RedisJsonUser\n"
    of_own = "class A(RedisJsonUser):\n    redis_url = 'redis://shop:1'\n"
    of_host = "class B(RedisJsonUser):\n    host = 'redis://shop:1'\n"
    of_none = "class C(RedisJsonUser):\n    pass\n"
    cases = {of_own: False, of_host: False, of_own + of_host: False, of_none: True, of_own + of_none: True}
    found = {
        text: scenarios.load(file_of(tmp_path, sources + text, f"case_{number}.py")).needs_redis
        for number, text in enumerate(cases)
    }
    assert found == cases
    assert scenarios.load("key_value").needs_redis
