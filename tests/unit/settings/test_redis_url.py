"""redis-py's clients for the URLs of this product's users."""

import pytest
import redis

from loadtest.local.process import free_port
from loadtest.settings.redis_url import cluster_of, is_cluster, server_of


def test_a_url_of_one_server_is_redis_pys(redis_url: str) -> None:
    """It keeps its database, and uses RESP2, which has the same replies in every version of redis-py."""
    with server_of(f"{redis_url.rpartition('/')[0]}/3?client_name=looker", 5) as client:
        asked = client.client_info()
    assert (asked["name"], asked["db"], asked["resp"]) == ("looker", 3, "2")
    assert not is_cluster(redis_url)


def test_the_node_of_a_clusters_url_is_asked(redis_url: str) -> None:
    """Options that redis-py lacks are left out."""
    url = f"{redis_url.rpartition('/')[0]}?cluster=true&read_from_replicas=yes"
    with server_of(url, 5) as client:
        assert client.ping()
    assert is_cluster(url)
    with pytest.raises(redis.exceptions.RedisClusterException, match=r"[Cc]luster"):
        cluster_of(url, 5)


def test_a_sentinel_that_is_away_is_an_error_of_redis() -> None:
    """It is the error for an unreachable server, with all parts that a URL may have."""
    with (
        server_of(f"rediss://u:p@127.0.0.1:{free_port()}/2?sentinel=shop", 5) as client,
        pytest.raises(redis.ConnectionError, match="No master found for 'shop'"),
    ):
        client.ping()
