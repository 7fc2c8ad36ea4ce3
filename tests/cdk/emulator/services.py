"""The door to the emulator: two services are played here, for it has neither instances nor lifecycle actions.

Run Command knows one document and one node, and takes what the document allows; the node carries the commands out.
The auto scaling group has one node that waits for its hook. Everything else is passed on as it came.
"""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from werkzeug.serving import make_server

Start = Callable[[str, list[tuple[str, str]]], Any]
_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length"}


@dataclass
class RunCommand:
    """Systems Manager's part: `node` carries out the lines of the document's script; (exit code, output)."""

    name: str
    document: Mapping[str, Any]
    instance: str
    node: Callable[[list[str]], tuple[int, str]]
    steps: list[str] = field(default_factory=list)
    _states: dict[str, dict[str, str]] = field(default_factory=dict)
    _threads: list[threading.Thread] = field(default_factory=list)

    def send(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """SendCommand: taken only as the document allows."""
        if request["InstanceIds"] != [self.instance] or request["DocumentName"] != self.name:
            raise ValueError("InvalidInstanceId" if request["DocumentName"] == self.name else "InvalidDocument")
        given = {name: each.get("default", "") for name, each in self.document["parameters"].items()}
        given |= {name: value for name, (value,) in request["Parameters"].items()}
        for name, value in given.items():
            told = self.document["parameters"][name]
            if value not in told.get("allowedValues", [value]) or not re.search(told.get("allowedPattern", ""), value):
                raise ValueError("InvalidParameters")
        script = json.dumps(self.document["mainSteps"][0]["inputs"]["runCommand"])
        for name, value in given.items():
            script = script.replace(f"{{{{ {name} }}}}", value)
        number = f"00000000-0000-4000-8000-{len(self._states):012d}"
        self.steps.append(given["step"])
        self._states[number] = {"Status": "InProgress", "StatusDetails": "InProgress", "StandardOutputContent": ""}
        thread = threading.Thread(target=self._carry_out, args=(number, json.loads(script)))
        self._threads.append(thread)
        thread.start()
        return {"Command": {"CommandId": number, "DocumentName": self.name, "Status": "Pending"}}

    def _carry_out(self, number: str, script: list[str]) -> None:
        try:
            code, output = self.node(script)
        except Exception as error:
            code, output = 1, type(error).__name__
        said = "Success" if code == 0 else "Failed"
        self._states[number] = {"Status": said, "StatusDetails": said, "StandardOutputContent": output}

    def state(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """GetCommandInvocation."""
        found = self._states.get(request["CommandId"])
        if found is None:
            raise ValueError("InvocationDoesNotExist")
        return {**found, "CommandId": request["CommandId"], "InstanceId": self.instance}

    def settle(self) -> None:
        """Wait until no command is at work."""
        for thread in list(self._threads):
            thread.join(120)


@dataclass
class Hook:
    """The auto scaling group's part."""

    group: str
    instance: str
    completed: list[str] = field(default_factory=list)
    heartbeats: int = 0

    def answer(self, action: str, told: Mapping[str, str]) -> str:
        """The inside of the service's XML."""
        assert told.get("AutoScalingGroupName", self.group) == self.group
        if action == "CompleteLifecycleAction":
            self.completed.append(told["LifecycleActionResult"])
        if action == "RecordLifecycleActionHeartbeat":
            self.heartbeats += 1
        if action != "DescribeAutoScalingInstances" or self.completed:
            return ""
        state = f"<InstanceId>{self.instance}</InstanceId><LifecycleState>Terminating:Wait</LifecycleState>"
        return f"<AutoScalingInstances><member>{state}</member></AutoScalingInstances>"


@dataclass
class Services:
    """A WSGI application: the two services, and the emulator behind."""

    emulator: str = ""
    commands: RunCommand | None = None
    hook: Hook | None = None

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        """See PEP 3333."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        target = str(environ.get("HTTP_X_AMZ_TARGET", ""))
        if self.commands is not None and target in ("AmazonSSM.SendCommand", "AmazonSSM.GetCommandInvocation"):
            return self._commanded(target, json.loads(body), start)
        told = _form(body) if b"Action=" in body else {}
        if self.hook is not None and (action := told.get("Action", "")) in _HOOKED:
            inside = self.hook.answer(action, told)
            text = f"<{action}Response><{action}Result>{inside}</{action}Result></{action}Response>"
            return _say(start, "200 OK", "text/xml", text)
        return self._pass_on(environ, body, start)

    def _commanded(self, target: str, request: Mapping[str, Any], start: Start) -> Iterable[bytes]:
        assert self.commands is not None
        try:
            known = self.commands.send if target.endswith("SendCommand") else self.commands.state
            return _say(start, "200 OK", "application/x-amz-json-1.1", json.dumps(known(request)))
        except ValueError as refusal:
            return _say(start, "400 Bad Request", "application/x-amz-json-1.1", json.dumps({"__type": str(refusal)}))

    def _pass_on(self, environ: Mapping[str, Any], body: bytes, start: Start) -> Iterable[bytes]:
        headers = {
            name[5:].replace("_", "-").title(): value for name, value in environ.items() if name.startswith("HTTP_")
        }
        if environ.get("CONTENT_TYPE"):
            headers["Content-Type"] = environ["CONTENT_TYPE"]
        connection = http.client.HTTPConnection(urlsplit(self.emulator).netloc, timeout=120)
        try:
            connection.request(environ["REQUEST_METHOD"], environ["RAW_URI"], body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP]
        length = answer.getheader("Content-Length") if environ["REQUEST_METHOD"] == "HEAD" else str(len(content))
        if length is not None:
            kept.append(("Content-Length", length))
        start(f"{answer.status} {answer.reason}", kept)
        return [content]


_HOOKED = {
    "CompleteLifecycleAction", "RecordLifecycleActionHeartbeat", "DescribeAutoScalingInstances",
    "DescribeAutoScalingGroups",
}  # fmt: skip


def _form(body: bytes) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(body.decode("ascii", "replace")).items()}


def _say(start: Start, status: str, kind: str, text: str) -> list[bytes]:
    content = text.encode()
    start(status, [("Content-Type", kind), ("Content-Length", str(len(content)))])
    return [content]


@contextmanager
def served(application: Any) -> Iterator[str]:
    """The application on a free port of loopback; its address."""
    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
