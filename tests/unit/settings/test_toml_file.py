"""TomlFile: the lines of keys in every form of TOML."""

from pathlib import Path

import pytest

from loadtest.exceptions import UsageError
from loadtest.settings.toml_file import TomlFile

TEXT = '''# a comment with = and [brackets]
top = 1
[a]            # 3
"quoted.key" = """
[not.a.table] = 1
""" # 4
dotted.key = 1 # 7
list = [       # 8
  { x = "],}", y = 2 },  # 9 ]
  [ 'it''s', # 10
    2,
  ],
]
[[b.c]]
d = 1979-05-27T07:32:00Z # 15
[b.c.e]
f = 1 # 17
[[b.c]]
d = { e.f = "\\"#", "\\u0067" = '#' } # 19
'''.replace("'it''s'", "'its'")


def test_every_key_has_its_line(tmp_path: Path) -> None:
    """Tables, arrays of tables, dotted and quoted keys, inline tables and list items all have their line."""
    file = tmp_path / "a.toml"
    file.write_text(TEXT)
    toml = TomlFile(file, "file")
    expected = {
        ("top",): 2,
        ("a",): 3,
        ("a", "quoted.key"): 4,
        ("a", "dotted", "key"): 7,
        ("a", "list"): 8,
        ("a", "list", 0): 9,
        ("a", "list", 0, "y"): 9,
        ("a", "list", 1): 10,
        ("a", "list", 1, 1): 11,
        ("b", "c"): 14,
        ("b", "c", 0, "d"): 15,
        ("b", "c", 0, "e", "f"): 17,
        ("b", "c", 1): 18,
        ("b", "c", 1, "d", "e", "f"): 19,
        ("b", "c", 1, "d", "g"): 19,
    }
    assert {location: toml.line_of(location) for location in expected} == expected


def test_what_is_not_there_is_its_table(tmp_path: Path) -> None:
    """The place of a missing key is its table, and that of a missing table is the file's first line."""
    file = tmp_path / "a.toml"
    file.write_text(TEXT)
    toml = TomlFile(file, "file")
    assert [toml.line_of(location) for location in [("b", "c", 1, "x"), ("a", "x", 0), ("z",)]] == [18, 3, 1]
    assert toml.where(("a", "x")) == f"{file}, line 3"


@pytest.mark.parametrize("content", [b"a = ", b"\xff", None])
def test_what_is_no_toml_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """A syntax error, another encoding and a missing file are usage errors with the file's name."""
    file = tmp_path / "a.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=r"a\.toml .*Next: "):
        TomlFile(file, "file")
