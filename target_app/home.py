"""The home page: lists the application's routes and problems, from their definitions."""

import inspect

from flask import Flask, Response, render_template_string
from werkzeug.routing import Rule

from target_app import responses
from target_app.errors import PROBLEMS
from target_app.openapi import described, description_of

_EXAMPLES = {
    "document": "document:type-small",
    "hash_key": "hash:type-small",
    "string_key": "string:type-small",
    "field": "generation",
}
"""The value of each route variable in the page's links; `target_app.seed` creates these keys."""

_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Sample target</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
  table { border-collapse: collapse; width: 100% }
  th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #8884 }
  code { font-size: .9em }
</style>
<h1>Sample target</h1>
<p>A small API over RedisJSON documents, for load tests. The same reads and writes exist on hashes and
plain strings, for comparison. Links lead to the example data that a run of the
<code>documents</code> scenario loads; endpoints without a link change data or need an access token.</p>
<h2>Endpoints</h2>
<table>
<tr><th>Method<th>Path<th>What it does
{% for method, rule, link, summary in endpoints -%}
<tr><td><code>{{ method }}</code>
<td>{% if link %}<a href="{{ link }}"><code>{{ rule }}</code></a>{% else %}<code>{{ rule }}</code>{% endif %}
<td>{{ summary }}
{% endfor -%}
</table>
<h2>Problems</h2>
<p>Errors are JSON problems (RFC 9457). Their <code>type</code> refers to this table or is <code>about:blank</code>.</p>
<table>
<tr><th>Type<th>Status<th>Meaning
{% for problem in problems -%}
<tr id="{{ problem.kind }}"><td><code>/#{{ problem.kind }}</code><td>{{ problem.status.value }}<td>{{ problem.title }}
{% endfor -%}
</table>
</html>
"""


def install(app: Flask) -> None:
    """Serve the home page at `/`."""

    @described(answer={"type": "string"}, media_type="text/html")
    def home() -> Response:
        """Show this page."""
        page = render_template_string(_PAGE, endpoints=_endpoints(app), problems=PROBLEMS.values())
        response = responses.raw(page, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
        return response

    app.add_url_rule("/", "home", home)


def _endpoints(app: Flask) -> list[tuple[str, str, str | None, str]]:
    """List method, route, link (None unless a browser can show it) and summary, by route."""
    return [
        (method, rule.rule, _link(app, rule) if method == "GET" else None, _summary(app, rule))
        for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def _link(app: Flask, rule: Rule) -> str | None:
    description = description_of(app.view_functions[rule.endpoint])
    if rule.websocket or (description is not None and description.signed_in):
        return None
    link = rule.rule
    for variable in rule.arguments:
        link = link.replace(f"<{variable}>", _EXAMPLES[variable])
    return link


def _summary(app: Flask, rule: Rule) -> str:
    return (inspect.getdoc(app.view_functions[rule.endpoint]) or "").partition("\n")[0]
