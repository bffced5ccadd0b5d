"""The workload file: its content, and one error message per mistake."""

from pathlib import Path

import pytest

from loadtest.exceptions import UsageError
from loadtest.workload.description import read

RIGHT = """\
seed = 3
read_share = 0.8
[keys]
pattern = "u:{n:04}"
size = 100
fill = 1
distribution = "zipf(1.1)"
[values]
size_bytes = [500, 900]
depth = 2
[operations]
json_get = 3
get = 1
json_set = 1
json_merge = 0
"""


def problems(folder: Path, text: str) -> list[str]:
    """Return the lines of a file's error, with the file's base name."""
    file = folder / "w.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        read(file)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def test_a_file_is_read(tmp_path: Path) -> None:
    """Weights become shares of reads and of writes, and missing values have defaults."""
    (tmp_path / "w.toml").write_text(RIGHT)
    found = read(tmp_path / "w.toml")
    assert found.shares == pytest.approx({"json_get": 0.6, "get": 0.2, "json_set": 0.2})
    assert found.forms == ["json", "string"]
    assert (found.values.size_bytes, found.values.depth) == ((500, 900), (2, 2))
    assert (found.keys.filled, found.keys.ttl, found.keys.per_mget) == (100, None, 10)


@pytest.mark.parametrize(
    ("pattern", "key"),
    [("{n}", "k:17"), ("u:{n:06}", "k:u:000017"), ("{{n}}:cart", "k:{17}:cart"), ("{shop:{n}}", "k:{shop:17}")],
)
def test_a_key_is_made_of_its_pattern(tmp_path: Path, pattern: str, key: str) -> None:
    """Other braces are kept, such as hash tags of a cluster."""
    (tmp_path / "w.toml").write_text(RIGHT.replace("u:{n:04}", pattern))
    assert read(tmp_path / "w.toml").keys.namer("k:")(17) == key


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("size = 100", "size = 0", "w.toml, line 5: keys.size = 0 is not allowed. Allowed: a whole number from 1 to "),
        ("size = 100", "size = 1.5", "w.toml, line 5: keys.size = 1.5 is not allowed."),
        ("size = 100\n", "", "w.toml, line 3: keys.size is missing. Allowed: a whole number from 1 to 1000000000. "),
        (
            "size = 100",
            "sise = 100\nsize = 1",
            "w.toml, line 5: keys.sise is not a key of a workload. Allowed: ",
        ),
        (
            "zipf(1.1)",
            "zipf(0)",
            "w.toml, line 7: keys.distribution = 'zipf(0)' is not allowed. Allowed: uniform; ",
        ),
        ("zipf(1.1)", "zipf(-2)", "w.toml, line 7: keys.distribution = 'zipf(-2)' is not allowed."),
        ("zipf(1.1)", "pareto", "w.toml, line 7: keys.distribution = 'pareto' is not allowed."),
        ('"zipf(1.1)"', "1.1", "w.toml, line 7: keys.distribution = 1.1 is not allowed."),
        ("u:{n:04}", "u", "w.toml, line 4: keys.pattern = 'u' is not allowed. Allowed: up to 200 characters with {n}"),
        ("u:{n:04}", "{n}{n}", "w.toml, line 4: keys.pattern = '{n}{n}' is not allowed."),
        ("fill = 1", "fill = 1.1", "w.toml, line 6: keys.fill = 1.1 is not allowed. Allowed: a number from 0 to 1."),
        ("fill = 1", "ttl = 0", "w.toml, line 6: keys.ttl = 0 is not allowed. Allowed: a duration from 0.001s"),
        ("fill = 1", 'ttl = ["2s", "1s"]', "w.toml, line 6: keys.ttl = ['2s', '1s'] is not allowed."),
        ("fill = 1", "per_mget = 0", "w.toml, line 6: keys.per_mget = 0 is not allowed."),
        ("[500, 900]", "[900, 500]", "w.toml, line 9: values.size_bytes = [900, 500] is not allowed."),
        ("[500, 900]", "[1, 2, 3]", "w.toml, line 9: values.size_bytes = [1, 2, 3] is not allowed."),
        (
            "[500, 900]",
            "199",
            "w.toml, line 9: values.size_bytes = 199 is not allowed. Allowed: a whole ",
        ),
        ("depth = 2", "depth = 3", "w.toml, line 9: values.size_bytes = 500 is too little for 3 levels. Allowed: 200 "),
        ("depth = 2", "depth = true", "w.toml, line 10: values.depth = True is not allowed."),
        ("json_get = 3", "json_gt = 3", "w.toml, line 12: operations.json_gt is not an operation. Allowed: json_get, "),
        (
            "json_get = 3",
            "json_get = -3",
            "w.toml, line 12: operations.json_get = -3 is not allowed. Allowed: ",
        ),
        ("json_get = 3", "json_get = nan", "w.toml, line 12: operations.json_get = nan is not allowed."),
        ("json_get = 3\nget = 1", "get = 0", "w.toml, line 2: read_share = 0.8 needs operations that read and such "),
        ("json_set = 1", "json_set = 0", "w.toml, line 2: read_share = 0.8 needs operations that read and such that "),
        ("json_get = 3\nget = 1\njson_set = 1", "", "w.toml, line 11: operations has no weight above 0. Allowed: one "),
        ("json_set = 1", "json_arrappend = 1", "w.toml, line 14: operations.json_arrappend makes documents grow "),
        ("seed = 3", "seed = -3", "w.toml, line 1: seed = -3 is not allowed. Allowed: a whole number, "),
        ("seed = 3", "sead = 3", "w.toml, line 1: sead is not a key of a workload. Allowed: seed, read_share, keys, "),
        ("seed = 3", "seed", "w.toml is not TOML: "),
        (
            "read_share = 0.8",
            "read_share = 8",
            "w.toml, line 2: read_share = 8 is not allowed. Allowed: a ",
        ),
    ],
)
def test_a_wrong_value_is_one_sentence(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    """It has the line, the allowed values, and the next step."""
    (line,) = problems(tmp_path, RIGHT.replace(old, new))
    assert line.startswith(sentence), line
    assert ("Next: " in line, line.endswith(".")) == (True, True)


@pytest.mark.parametrize("change", [("fill = 1", "fill = 0.5"), ("fill = 1", 'ttl = "60s"')])
def test_what_changes_documents_needs_them(tmp_path: Path, change: tuple[str, str]) -> None:
    """An increment of a missing key would be an unintended failure."""
    text = RIGHT.replace("json_merge = 0", "json_numincrby = 1")
    (line,) = problems(tmp_path, text.replace(*change))
    assert line.startswith("w.toml, line 15: operations.json_numincrby changes documents that may not exist. ")
    (tmp_path / "w.toml").write_text(text)
    assert "json_numincrby" in read(tmp_path / "w.toml").shares


def test_everything_that_is_wrong_is_named_at_once(tmp_path: Path) -> None:
    """They are in the order of the file."""
    text = RIGHT.replace("size = 100", "size = 0").replace("seed = 3", "seed = true").replace("get = 1", "get = x")
    assert len(problems(tmp_path, text.replace("x", '"x"'))) == 3


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    """This applies to a section and to the whole file."""
    text = "keys = 3\nvalues = []\noperations = 1\n"
    assert [line.partition(" is not")[0] for line in problems(tmp_path, text)] == [
        "w.toml, line 1: keys = 3",
        "w.toml, line 2: values = []",
        "w.toml, line 3: operations = 1",
    ]
    with pytest.raises(UsageError, match=r"the workload file .*/none\.toml cannot be read"):
        read(tmp_path / "none.toml")
