"""The table of replacements: each is put in place, taken back, and has a test on stock Locust."""

import importlib.util
from pathlib import Path

import pytest
from locust import runners
from locust.rpc import zmqrpc

from loadtest.settings.config import Config
from loadtest.swarm import replacements
from loadtest.swarm.replacements import REPLACED_ELSEWHERE, TABLE


def test_every_row_is_put_in_place_and_taken_back() -> None:
    """After `restore` Locust is unmodified, after `install` nothing in the table is."""
    replacements.restore()
    stock = [getattr(row.owner, row.name) for row in TABLE]
    ends = zmqrpc.Server, zmqrpc.Client, runners.CONNECT_TIMEOUT, runners.CONNECT_RETRY_COUNT
    replacements.install(Config())
    assert [getattr(row.owner, row.name) is one for row, one in zip(TABLE, stock, strict=True)] == [False] * len(TABLE)
    replacements.restore()
    assert [getattr(row.owner, row.name) for row in TABLE] == stock
    assert (zmqrpc.Server, zmqrpc.Client, runners.CONNECT_TIMEOUT, runners.CONNECT_RETRY_COUNT) == ends


def test_installing_twice_replaces_once() -> None:
    """A second call changes nothing."""
    replacements.install(Config())
    once = [getattr(row.owner, row.name) for row in TABLE]
    replacements.install(Config())
    assert [getattr(row.owner, row.name) for row in TABLE] == once


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.owner.__name__}.{row.name}")
def test_every_row_says_why_and_is_shown_on_stock_locust(row: replacements.Replacement) -> None:
    """A test that names the method runs with the replacement and without it."""
    tests = "".join(path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("test_*.py")))
    assert row.why
    assert f"replaces {row.owner.__name__.rpartition('.')[2]}.{row.name}" in tests


@pytest.mark.parametrize("row", REPLACED_ELSEWHERE, ids=lambda row: row.what)
def test_what_is_replaced_elsewhere_names_its_module(row: replacements.Elsewhere) -> None:
    """The module exists, and there is a reason."""
    assert importlib.util.find_spec(row.where) is not None
    assert row.why
