"""A real HTTP endpoint on loopback with known answers: it speaks the OpenAI dialect."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[str, random.Random], str]


def sometimes_right(prompt: str, rng: random.Random) -> str:
    """Say what "A + B" makes, wrong by one in three replies of ten."""
    asked = prompt.split("What is ")[-1].split("?")[0]
    a, b = (int(part) for part in asked.split(" + "))
    return f"The answer is {a + b + (rng.random() < 0.3)}."


class Endpoint:
    """Counts what it was asked; `fails` turns the next so many requests into HTTP 400."""

    def __init__(self, answer: Answer = sometimes_right) -> None:
        self.answer = answer
        self.asked: Counter[str] = Counter()
        self.fails = 0
        self.lock = threading.Lock()
        self.base_url = ""

    @property
    def requests(self) -> int:
        return sum(self.asked.values())

    def reply(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self.lock:
            self.asked[json.dumps(body, sort_keys=True)] += 1
            if self.fails > 0:
                self.fails -= 1
                return 400, {"error": {"message": "refused for the test"}}
        chat = path.endswith("/chat/completions")
        prompt = body["messages"][-1]["content"] if chat else body["prompt"]
        text = self.answer(prompt, random.Random(body.get("seed", 0)))
        tokens = len(text.split())
        logprobs = {
            "content": [
                {"token": word, "logprob": -0.5, "top_logprobs": [{"token": word, "logprob": -0.5}]}
                for word in text.split()
            ]
        }
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "logprobs": logprobs}
        choice |= {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        return 200, {
            "id": "1",
            "object": "chat.completion" if chat else "text_completion",
            "created": 0,
            "model": body["model"],
            "choices": [choice],
            "usage": {
                "prompt_tokens": len(prompt.split()),
                "completion_tokens": tokens,
                "total_tokens": tokens + len(prompt.split()),
            },
        }


@contextmanager
def serve(endpoint: Endpoint) -> Iterator[Endpoint]:
    """Serve on a free loopback port; `endpoint.base_url` says where."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(200, {"object": "list", "data": [{"id": "m", "object": "model"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._send(*endpoint.reply(self.path, body))

        def _send(self, status: int, payload: dict[str, Any]) -> None:
            data = json.dumps(payload).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    endpoint.base_url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
