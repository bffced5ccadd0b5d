"""The home page lists the endpoints and the problems."""

import re

from flask import Flask
from flask.testing import FlaskClient

from target_app.errors import PROBLEMS
from target_app.openapi import description_of


def test_home_lists_every_endpoint(app: Flask, client: FlaskClient) -> None:
    """Each route and method of the application has a row, including the home page."""
    page = client.get("/")
    rows = set(
        re.findall(r"<tr><td><code>([A-Z]+)</code>\s*<td>(?:<a href=\"[^\"]*\">)?<code>([^<]*)</code>", page.text)
    )
    routes = {
        (method, rule.rule.replace("<", "&lt;").replace(">", "&gt;"))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert (page.mimetype, rows) == ("text/html", routes)


def test_every_endpoint_has_a_summary(client: FlaskClient) -> None:
    """No row's last cell is empty."""
    assert re.findall(r"<td>\s*(?=<tr>|</table>)", client.get("/").text) == []


def test_every_link_works_on_seeded_data(app: Flask, client: FlaskClient) -> None:
    """Each GET endpoint without a token is linked, and the link returns 200; no link opens a session."""
    links = re.findall(r'<a href="([^"]*)">', client.get("/").text)
    rules = [rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or set()) and not rule.websocket]
    views = [app.view_functions[rule.endpoint] for rule in rules]
    readable = [view for view in views if not description_of(view).signed_in]
    assert len(links) == len(readable)
    assert {link: client.get(link).status_code for link in links} == dict.fromkeys(links, 200)


def test_every_problem_type_leads_to_its_row(client: FlaskClient) -> None:
    """The reference in a problem's `type` is an anchor of the page."""
    page = client.get("/").text
    assert [problem.kind for problem in PROBLEMS.values() if f'<tr id="{problem.kind}">' not in page] == []
