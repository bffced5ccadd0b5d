"""The probes."""

from flask.testing import FlaskClient


def test_both_probes_answer_with_their_status(client: FlaskClient) -> None:
    """With Redis, the target is live and ready; without it, see test_errors.py."""
    answers = [client.get(f"/healthz/{probe}") for probe in ("live", "ready")]
    assert [(each.status_code, each.json) for each in answers] == [
        (200, {"status": "live"}),
        (200, {"status": "ready"}),
    ]
