"""The replacements in Locust's master, with each replacement and without it."""

import gevent
import pytest
from locust import __version__
from locust.dispatch import UsersDispatcher
from locust.env import Environment
from locust.rpc import Message
from locust.runners import STATE_RUNNING, WorkerNode

from loadtest.swarm import rebalancing
from loadtest.swarm.messages import LONGEST_TEXT
from loadtest.swarm.replacements.master import LONGEST_LOG, MAX_EXCEPTIONS, MAX_LOGS
from tests.link_peers import Peer, eventually, master
from tests.locust_runners import Idle, end

pytestmark = pytest.mark.usefixtures("locust")

PATIENCE_S = 30.0


class Obedient(Peer):
    """A worker that starts users until it is stopped, and afterwards none of that run."""

    obeys = True

    def _listen(self) -> None:
        while True:
            message = Message.unserialize(self.socket.recv())
            if message.type == "spawn" and self.obeys:
                users = message.data["user_classes_count"]
                self.spawned.append(sum(users.values()))
                self.say("spawning_complete", {"user_classes_count": users, "user_count": self.spawned[-1]})
            elif message.type == "stop":
                self.obeys = False
                self.say("client_stopped")
                self.say("client_ready", __version__)


def test_a_message_that_lacks_something_does_not_end_receiving() -> None:
    """The next worker joins as usual (replaces MasterRunner.handle_message)."""
    with master() as runner, Peer(runner, "odd") as odd:
        odd.say("heartbeat", {"no": "state"})
        with Peer(runner, "next"):
            assert "next" in runner.clients


def test_a_worker_that_comes_back_does_not_stop_the_master_from_receiving() -> None:
    """The next message is handled immediately (replaces MasterRunner._wait_for_workers_report_after_ramp_up)."""
    runner = Environment(user_classes=[Idle]).create_master_runner("127.0.0.1", 0)
    worker = Environment(user_classes=[Idle]).create_worker_runner("127.0.0.1", runner.server.port)
    try:
        gevent.spawn(runner.start, 2, 10)
        eventually(lambda: runner.user_count == 2 and runner.state == STATE_RUNNING)
        received: list[str] = []
        runner.register_message("word", lambda msg, **_: received.append(msg.node_id))
        worker.client.send(Message("client_ready", __version__, worker.client_id))
        worker.send_message("word", None)
        assert eventually(lambda: received) < 0.9  # stock Locust waits for a second
        eventually(lambda: runner.user_count == 2)
    finally:
        end(runner, worker)


def test_a_ramp_up_that_outlives_its_run_starts_no_other() -> None:
    """After the ramp-up of a stopped run, the master stays stopped (replaces MasterRunner.update_state)."""
    with master() as runner, Obedient(runner, "w") as worker:
        states: list[str] = []
        runner.environment.events.spawning_complete.add_listener(lambda **_: states.append(runner.state))
        gevent.spawn(runner.start, 2, 1.0)
        eventually(lambda: worker.spawned, PATIENCE_S)
        runner.stop()
        eventually(lambda: states, PATIENCE_S)
        worker.obeys = True
        gevent.spawn(runner.start, 2, 100.0)
        eventually(lambda: len(states) == 2, PATIENCE_S)
        assert [state == STATE_RUNNING for state in states] == [False, True]


def test_a_headless_master_whose_test_ends_quits() -> None:
    """Locust stops the test when its last worker is lost; the process then ends (replaces MasterRunner.stop)."""
    with master(headless=True) as runner, Obedient(runner, "w") as worker:
        gevent.spawn(runner.start, 2, 100.0)
        eventually(lambda: worker.spawned and runner.state == STATE_RUNNING, PATIENCE_S)
        runner.stop()
        eventually(lambda: not len(runner.greenlet), 3.0)


@pytest.mark.parametrize("locust", ["ours"], indirect=True)
def test_a_master_with_a_web_ui_stays_when_its_test_ends() -> None:
    """Only a headless one has nothing to wait for."""
    with master(headless=False) as runner, Obedient(runner, "w") as worker:
        gevent.spawn(runner.start, 2, 100.0)
        eventually(lambda: worker.spawned and runner.state == STATE_RUNNING, PATIENCE_S)
        runner.stop()
        gevent.sleep(1.0)
        assert len(runner.greenlet)


def test_a_worker_that_leaves_does_not_end_the_look_for_lost_ones() -> None:
    """The loop over the workers uses those at its start (replaces WorkerNodes.all)."""
    with master() as runner, Peer(runner, "a"), Peer(runner, "b"):
        seen = []
        for client in runner.clients.all:
            runner.clients.pop("b", None)
            seen.append(client.id)
        assert seen == ["a", "b"]


def test_a_worker_that_comes_back_gets_one_share() -> None:
    """However often it says it is ready, it has as many users as the other (replaces UsersDispatcher.add_worker)."""
    with master() as runner, Obedient(runner, "a") as back, Obedient(runner, "b") as other:
        gevent.spawn(runner.start, 12, 100.0)
        eventually(lambda: runner.user_count == 12 and runner.state == STATE_RUNNING, PATIENCE_S)
        for _ in range(3):
            back.say("client_ready", __version__)
        gevent.sleep(0.5)
        gevent.spawn(runner.start, 12, 100.0)
        gevent.sleep(2.0)
        assert (back.spawned[-1], other.spawned[-1]) == (6, 6)


def test_a_worker_that_ends_gets_no_share_of_the_next_run() -> None:
    """The remaining workers run all users (replaces UsersDispatcher.__init__)."""
    ending, other = WorkerNode("ending"), WorkerNode("other")
    with master() as runner:
        rebalancing.stop_assigning(runner, ending)
    for workers, share in (([ending, other], {"other": 4}), ([ending], {"ending": 4})):
        dispatcher = UsersDispatcher(workers, [Idle])
        dispatcher.new_dispatch(4, 100.0)
        assert {name: users["Idle"] for name, users in next(dispatcher).items()} == share


def test_a_worker_that_ends_gets_no_share_when_it_comes_back() -> None:
    """This happens after a network cut that heals (replaces UsersDispatcher.add_worker)."""
    ending, other = WorkerNode("ending"), WorkerNode("other")
    dispatcher = UsersDispatcher([other], [Idle])
    with master() as runner:
        rebalancing.stop_assigning(runner, ending)
    dispatcher.add_worker(ending)
    dispatcher.new_dispatch(4, 100.0)
    assert {name for users in dispatcher for name in users} == {"other"}


def test_exceptions_of_scenarios_do_not_fill_the_memory() -> None:
    """A bounded number is kept, a bounded part of each, and the total count (replaces Runner.log_exception)."""
    with master() as runner:
        for number in range(MAX_EXCEPTIONS + 50):
            length = LONGEST_TEXT if number < 10 else 10  # of a few only: the search for secrets in each takes time
            runner.log_exception("w", "e" * 2 * length, f"{number}" + "t" * 2 * length)
        kept = list(runner.exceptions.values())
        assert len(kept) == MAX_EXCEPTIONS + 1
        assert max(len(row["msg"] + row["traceback"]) for row in kept) == 2 * LONGEST_TEXT
        assert sum(row["count"] for row in kept) == MAX_EXCEPTIONS + 50


def test_exceptions_of_scenarios_hold_no_secret_of_a_url() -> None:
    """They are shown in Locust's web UI and its table of exceptions (replaces Runner.log_exception)."""
    with master() as runner:
        runner.log_exception("w", "http://user:hunter2@host", "  at http://host/?token=hunter2")
        (row,) = runner.exceptions.values()
        assert (row["msg"], row["traceback"]) == ("http://***@host", "  at http://host/?token=***")


def test_logs_of_workers_do_not_fill_the_memory() -> None:
    """The latest lines of the latest workers are kept (replaces Environment.update_worker_logs)."""
    environment = Environment()
    for number in range(MAX_LOGS + 10):
        environment.update_worker_logs({"worker_id": f"w{number}", "logs": ["l" * 1000] * 1000 + ["last"]})
    assert list(environment.worker_logs) == [f"w{number}" for number in range(10, MAX_LOGS + 10)]
    assert {sum(map(len, lines)) <= LONGEST_LOG + LONGEST_TEXT for lines in environment.worker_logs.values()} == {True}
    assert {lines[-1] for lines in environment.worker_logs.values()} == {"last"}
