"""A run that was stopped during its ramp-up stays stopped, in a real master that deals to a real socket."""

import gevent
from locust import __version__
from locust.rpc import Message
from locust.runners import STATE_RUNNING

from loadtest.swarm.replacements import ended_run
from tests.link_peers import Peer, eventually, master

PATIENCE_S = 30.0


class Obedient(Peer):
    """A worker that starts users until it is stopped, and none of that run after."""

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


def test_a_ramp_up_that_outlives_its_run_starts_no_other() -> None:
    """When Locust comes to the end of a stopped run's ramp-up, it stays stopped; the next run comes to run."""
    with master() as runner, Obedient(runner, "w") as worker:
        ended_run.keep(runner)
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
