"""A real OpenAI-compatible server on loopback, and a proxy in front of it that breaks things."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
from tiny import tiny_model

CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }} {% endfor %}"


def save_parrot(replies: Mapping[str, str], directory: Path, steps: int = 400) -> None:
    """Train a tiny GPT-2 to give these one-token replies to these prompts, then stop; save it."""
    view = tiny_model("gpt2", width=64)
    view.tokenizer.chat_template = CHAT_TEMPLATE
    model, tokenizer = view.model.train(), view.tokenizer
    prompts = [tokenizer(prompt)["input_ids"] for prompt in replies]
    (targets,) = zip(*(tokenizer(reply)["input_ids"] for reply in replies.values()), strict=True)
    end = model.config.eos_token_id
    longest = max(map(len, prompts)) + 2
    lines = torch.tensor(
        [
            [*prompt, target, end] + [end] * (longest - len(prompt) - 2)
            for prompt, target in zip(prompts, targets, strict=True)
        ]
    )
    last = torch.tensor([len(prompt) - 1 for prompt in prompts])
    rows = torch.arange(len(prompts))
    wanted = torch.stack([torch.tensor(targets), torch.full_like(last, end)], dim=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        logits = model(lines).logits
        logits = torch.stack([logits[rows, last], logits[rows, last + 1]], dim=1)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten())
        if (logits.argmax(-1) == wanted).all() and loss < 0.05:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    else:
        raise AssertionError("the model has not learned its replies")
    view.save(directory)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def serving(model: Path, log: Path) -> Iterator[int]:
    """`transformers serve` with one model; yields its port."""
    port = free_port()
    command = [sys.executable, "-c", "from transformers.cli.transformers import main; main()", "serve"]
    command += [str(model), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with log.open("wb") as output:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        try:
            while not _healthy(port):
                assert process.poll() is None, log.read_text()[-3000:]
                time.sleep(0.2)
            yield port
        finally:
            process.terminate()
            process.wait(30)


def _healthy(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False


class FaultyProxy(ThreadingHTTPServer):
    """Passes requests on to a server and breaks them as told.

    faults: names of faults for the next requests in order of arrival; when it is empty, `usual` holds.
    arrivals: (time, prompt, fault, Authorization header). generated: replies that the server made, by
    prompt; delivered: those that went out whole and right; usage: tokens that it counted for `generated`.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, upstream: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream = upstream
        self.faults: deque[str] = deque()
        self.usual = ""
        self.slow, self.retry_after = 0.15, "1"
        self.arrivals: list[tuple[float, str, str, str | None]] = []
        self.generated: Counter[str] = Counter()
        self.delivered: Counter[str] = Counter()
        self.usage: list[dict[str, int]] = []
        self.under_way = self.most_under_way = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """Base URL for clients."""
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A killed client is no fault of the proxy."""

    @contextlib.contextmanager
    def running(self) -> Iterator[FaultyProxy]:
        """Serve in a thread."""
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            self.server_close()


REFUSALS = {
    "error": (500, {"message": "The server had an error.", "code": None}),
    "limit": (429, {"message": "Rate limit reached.", "code": "rate_limit_exceeded"}),
    "limit-bare": (429, {"message": "Rate limit reached.", "code": "rate_limit_exceeded"}),
    "quota": (429, {"message": "You exceeded your quota.", "code": "insufficient_quota"}),
    "unauthorised": (401, {"message": "Incorrect API key provided: {key}.", "code": "invalid_api_key"}),
    "forbidden": (403, {"message": "Not for {key}.", "code": None}),
    "missing": (404, {"message": "The model does not exist.", "code": "model_not_found"}),
    "bad": (400, {"message": "Unsupported parameter, said {key}.", "code": None}),
    "redirect": (302, {"message": "Elsewhere.", "code": None}),
}


class Handler(BaseHTTPRequestHandler):
    """One connection to the proxy."""

    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """Pass one request on, or break it."""
        proxy = self.server
        text = self.rfile.read(int(self.headers["Content-Length"]))
        body = json.loads(text)
        prompt = body.get("prompt") or body["messages"][-1]["content"]
        with proxy.lock:
            fault = proxy.faults.popleft() if proxy.faults else proxy.usual
            proxy.arrivals.append((time.monotonic(), prompt, fault, self.headers["Authorization"]))
            proxy.under_way += 1
            proxy.most_under_way = max(proxy.most_under_way, proxy.under_way)
        try:
            self._reply(fault, prompt, text)
        finally:
            with proxy.lock:
                proxy.under_way -= 1

    def _reply(self, fault: str, prompt: str, text: bytes) -> None:
        proxy = self.server
        if fault == "slow":
            time.sleep(proxy.slow)
        if fault == "drop":
            return self._hang_up()
        if fault in REFUSALS:
            status, error = REFUSALS[fault]
            error = error | {"message": error["message"].format(key=self.headers["Authorization"])}
            extra = {"limit": {"Retry-After": proxy.retry_after}, "redirect": {"Location": proxy.url}}
            return self._send(status, json.dumps({"error": error}).encode(), extra.get(fault, {}))
        status, answer = self._forward(text)
        if status == 200:
            response = json.loads(answer)
            with proxy.lock:
                proxy.generated[prompt] += 1
                proxy.usage.append(response["usage"])
            if fault in ("nonsense", "echo", "uncounted"):
                answer = json.dumps(_changed(response, fault, self.headers["Authorization"])).encode()
        if fault == "drop-after":
            return self._hang_up()
        if fault == "malformed":
            answer = answer[: len(answer) // 2]
        if fault == "cut":
            self._send(status, answer[: len(answer) // 2], {}, length=len(answer))
            return self._hang_up()
        self._send(status, answer, {})
        if status == 200 and fault != "malformed":
            with proxy.lock:
                proxy.delivered[prompt] += 1
        return None

    def _forward(self, text: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.upstream)
        connection.request("POST", self.path, text, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], length: int | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def _changed(response: dict[str, Any], fault: str, echo: str | None) -> dict[str, Any]:
    if fault == "uncounted":
        return {key: value for key, value in response.items() if key != "usage"}
    text = "I would rather not say." if fault == "nonsense" else f"You sent {echo}."
    choice = response["choices"][0]
    changed = {"message": {"role": "assistant", "content": text}} if "message" in choice else {"text": text}
    return response | {"choices": [choice | changed]}
