"""A framework that calls a model, as an environment: its requests are observations, and the agent's action is the model's answer.

The framework runs in the background and gets the address of an OpenAI-compatible endpoint on the loopback interface. Each of its requests
waits there until the agent acts. An adapter says how one task is run, and what its score is.
"""

import asyncio
import json
import queue
import secrets
import threading
from abc import abstractmethod
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tratree_data.environments import EnvironmentFailure, Outcome, Start, TextEnvironment
from tratree_data.environments.tools import AnyTool, FunctionTool, call_of_action, describe_tools

MODEL = "agent"
"""The model's name for the framework."""
SAY = FunctionTool(
    "say",
    "Answers in words, without calling another tool.",
    {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    takes_text=True,
)
ENDED = None
"""Instead of a request: the framework has finished the task."""
CANCEL_SECONDS = 20.0
Message = dict[str, Any]


class Endpoint:
    """Answers /v1/chat/completions on the loopback interface, for one episode; a random key keeps other programs out."""

    def __init__(self) -> None:
        self.key = secrets.token_hex(16)
        self.requests: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                endpoint.serve(self)

            def log_message(self, *_: object) -> None:
                """Nothing is logged."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True, name="model endpoint").start()

    def serve(self, http: BaseHTTPRequestHandler) -> None:
        body = json.loads(http.rfile.read(int(http.headers.get("Content-Length") or 0)) or "{}")
        if http.headers.get("Authorization") != f"Bearer {self.key}" or not http.path.endswith("/chat/completions"):
            return _send(http, 403, "application/json", b'{"error": {"message": "not for you"}}')
        self.requests.put(body)
        answer = self.answers.get()
        if answer is None:
            return _send(http, 400, "application/json", b'{"error": {"message": "the episode is over"}}')
        if body.get("stream"):
            return _send(http, 200, "text/event-stream", _events(answer))
        return _send(http, 200, "application/json", json.dumps(_completion(answer)).encode())

    def close(self) -> None:
        self.answers.put(None)
        threading.Thread(target=self.server.shutdown, daemon=True).start()


class CallingEnvironment(TextEnvironment):
    """An adapter defines `run_task`, and what every environment has."""

    tools: tuple[AnyTool, ...] = (SAY,)
    max_steps = 50

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True, name=f"{type(self).__name__}'s tasks").start()
        self.endpoint: Endpoint | None = None
        self.running: Future[float | None] | None = None
        self.ended = threading.Event()
        self.scored: float | None = None

    @abstractmethod
    async def run_task(self, task_id: str, seed: int, url: str, key: str) -> float | None:
        """Has the framework play the task with the model `MODEL` at this address, and returns the score."""

    def reset(self, task_id: str, seed: int = 0) -> Start:
        self._abandon()
        self.scored, self.endpoint = None, Endpoint()
        requests = self.endpoint.requests
        self.running = asyncio.run_coroutine_threadsafe(self._run(task_id, seed, self.endpoint, ended := threading.Event()), self.loop)
        self.ended = ended
        self.running.add_done_callback(lambda _: requests.put(ENDED))
        messages, over = self._next()
        if over:
            raise EnvironmentFailure("environment_error", f"{self.name} ended {task_id!r} without asking the model")
        self.tool_prompt = "\n\n".join(_text(message) for message in messages if message["role"] in ("system", "developer"))
        self.prompt = f"{self.tool_prompt}\n\n{describe_tools(self.tools)}".strip()
        said = [message for message in messages if message["role"] not in ("system", "developer")]
        shown = [_text(message) if len(said) == 1 else f"{message['role']}: {_text(message)}" for message in said]
        return Start("\n\n".join(shown).strip(), "")

    def step(self, action: str) -> Outcome:
        if self.endpoint is None or self.running is None:
            raise EnvironmentFailure("environment_error", f"{self.name} has no episode: call reset first")
        self.endpoint.answers.put(_message_of(self.tools, action))
        messages, ended = self._next()
        last = max((i for i, message in enumerate(messages) if message["role"] == "assistant"), default=-1)
        seen = "\n\n".join(_text(message) for message in messages[last + 1 :] if message["role"] != "system").strip()
        return Outcome(seen, ended, self.scored if ended else None, None)

    def score(self) -> float | None:
        """0 before the end, when nothing has been judged yet."""
        return self.scored if self.running is not None and self.running.done() else 0.0

    def close(self) -> None:
        self._abandon()
        self.loop.call_soon_threadsafe(self.loop.stop)

    async def _run(self, task_id: str, seed: int, endpoint: Endpoint, ended: threading.Event) -> float | None:
        try:
            return await self.run_task(task_id, seed, endpoint.url, endpoint.key)
        except SystemExit as error:  # a framework that gives up would end the loop that runs it
            raise RuntimeError(str(error)) from error
        finally:
            ended.set()

    def _next(self) -> tuple[list[Message], bool]:
        """The messages of the framework's next request, or that it has finished."""
        assert self.endpoint is not None
        assert self.running is not None
        body = self.endpoint.requests.get()
        if body is not ENDED:
            self.tools = (*map(_tool, body.get("tools") or ()), SAY)
            return list(body["messages"]), False
        try:
            self.scored = self.running.result()
        except Exception as error:
            said = (str(error).strip().splitlines() or [""])[0]
            raise EnvironmentFailure("environment_error", f"{self.name} failed: {type(error).__name__}: {said}") from error
        return [], True

    def _abandon(self) -> None:
        """Some frameworks play one task at a time, so an unfinished one must have ended before the next begins."""
        if self.endpoint is not None:
            self.endpoint.close()
        if self.running is not None and not self.running.done():
            self.running.cancel()
            self.ended.wait(CANCEL_SECONDS)
        self.running = self.endpoint = None


def _tool(schema: Message) -> FunctionTool:
    function = schema.get("function") or schema
    return FunctionTool(function["name"], (function.get("description") or "").strip(), function.get("parameters") or {"type": "object"})


def _text(message: Message) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(str(part.get("text", f"[{part.get('type')}]")) for part in content)
    return str(content or "").strip()


def _message_of(tools: tuple[AnyTool, ...], action: str) -> Message:
    """A call if the action is one, else what it says."""
    call = call_of_action(tools, action)
    if call is None:
        return {"role": "assistant", "content": action}
    if call[0] == SAY.name:
        return {"role": "assistant", "content": str(json.loads(call[1]).get("text", ""))}
    calls = [{"id": f"call_{secrets.token_hex(4)}", "type": "function", "function": {"name": call[0], "arguments": call[1]}}]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def _completion(message: Message, kind: str = "chat.completion", part: str = "message") -> Message:
    reason = "tool_calls" if message.get("tool_calls") else "stop"
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    choice = {"index": 0, part: message, "finish_reason": reason}
    return {"id": "agent", "object": kind, "created": 0, "model": MODEL, "choices": [choice], "usage": usage}


def _events(message: Message) -> bytes:
    """The whole message as one event of a stream."""
    calls = [{**call, "index": i} for i, call in enumerate(message.get("tool_calls") or ())]
    event = _completion({**message, **({"tool_calls": calls} if calls else {})}, "chat.completion.chunk", "delta")
    return f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n".encode()


def _send(http: BaseHTTPRequestHandler, status: int, kind: str, body: bytes) -> None:
    http.send_response(status)
    http.send_header("Content-Type", kind)
    http.send_header("Content-Length", str(len(body)))
    http.end_headers()
    http.wfile.write(body)
