"""A host's verbs without a broker: `RealHost` starts this module inside a host and talks to it by lines of JSON.

In: `{"verb": …, "body": …}`, one at a time. Out: `{"reply": …}` or `{"error": …, "kind": …}` for each, and in
between `{"event": …}` whenever the hypervisor reports something.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from agents.config import AgentConfig
from agents.contracts import DomainEvent, Message, pack
from agents.errors import Refused, VerbError
from agents.host import Host
from agents.verbs import VERBS
from scripts.local.site import CHECKOUT
from tests.kit.verbs import RunningVerb

WAIT_S = 120


class RealHost:
    """Verbs inside a host made of namespaces; `enter` gives the command that runs another one there."""

    def __init__(self, enter: Callable[..., list[str]], config: AgentConfig) -> None:
        self._enter = enter
        self._config = config
        self._more = threading.Condition()
        self._replies: list[dict[str, Any]] = []
        self.events: list[DomainEvent] = []
        self.start()

    def start(self) -> None:
        """Start it, as after a reboot or a crash of the worker."""
        self._process = subprocess.Popen(
            self._enter(
                "env",
                f"PYTHONPATH={CHECKOUT}",
                sys.executable,
                "-m",
                __name__,
                msgspec.json.encode(self._config).decode(),
            ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()

    def kill(self) -> None:
        """As `kill -9` of the worker."""
        self._process.kill()
        self._process.wait(20)

    def close(self) -> None:
        """End it in order."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)

    def do(self, verb: str, request: Message) -> Any:
        """Run a verb inside; its reply. Raises Refused with the error's text, whatever its kind."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"verb": verb, "body": pack(request)}) + "\n")
        self._process.stdin.flush()
        with self._more:
            assert self._more.wait_for(lambda: bool(self._replies), WAIT_S), f"no answer to {verb}"
            answer = self._replies.pop(0)
        if "error" in answer:
            raise Refused(answer["error"])
        return msgspec.convert(answer["reply"], VERBS[verb].reply)

    def wait_for(self, wanted: Callable[[DomainEvent], bool]) -> DomainEvent:
        """The first event, also among those that came already, that is as wanted."""

        def found() -> DomainEvent | None:
            return next((event for event in self.events if wanted(event)), None)

        with self._more:
            assert self._more.wait_for(lambda: found() is not None, WAIT_S), self.events
            event = found()
        assert event is not None
        return event

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            said = json.loads(line)
            with self._more:
                if "event" in said:
                    self.events.append(msgspec.convert(said["event"], DomainEvent))
                else:
                    self._replies.append(said)
                self._more.notify_all()


def main() -> None:
    """The inside."""
    config = msgspec.json.decode(sys.argv[1], type=AgentConfig)
    say_lock = threading.Lock()

    def say(document: dict[str, Any]) -> None:
        with say_lock:
            sys.stdout.write(json.dumps(document) + "\n")
            sys.stdout.flush()

    host = Host(config)
    host.on_event = lambda event: say({"event": pack(event)})
    host.start()
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            verb = VERBS[asked["verb"]]
            say({"reply": pack(verb.run(msgspec.convert(asked["body"], verb.request), RunningVerb(host)))})
        except VerbError as error:
            say({"error": str(error), "kind": error.kind})
        except Exception as error:  # noqa: BLE001 - shown by the test that asked
            say({"error": repr(error), "kind": "bug"})
    host.stop()


if __name__ == "__main__":
    main()
