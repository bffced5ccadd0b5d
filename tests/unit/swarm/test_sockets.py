"""How far the workers' link may reach, and the keys that close it."""

import pytest
import zmq

from loadtest.swarm.keys import Keys
from loadtest.swarm.sockets import check_reach


def test_a_worker_goes_to_another_machine_with_a_key_only() -> None:
    """Without a key, and outside a private network, the process ends with exit code 2."""
    with pytest.raises(SystemExit) as ended:
        check_reach("203.0.113.7", "--master-host", trusted=False)
    assert ended.value.code == 2
    check_reach("203.0.113.7", "--master-host", trusted=True)
    check_reach("localhost", "--master-host", trusted=False)


def test_one_secret_gives_the_same_two_pairs_everywhere() -> None:
    """Both sides derive the same keys from the same secret, different ones for each role and each secret."""
    keys, again, other = Keys.of("secret " * 8), Keys.of("secret " * 8), Keys.of("secret " * 7)
    assert again == keys
    pairs = (keys.master, keys.worker, other.master, other.worker)
    assert len({pair.secret for pair in pairs} | {pair.public for pair in pairs}) == 8
    assert all(zmq.curve_public(pair.secret) == pair.public for pair in pairs)
