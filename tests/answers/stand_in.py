"""A server that is as bad as servers are: speaks the protocol, and then dies, hangs, or talks nonsense. A script.

python -m tests.answers.stand_in KIND PORT
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KIND = sys.argv[1]


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if KIND == "loading":
            return self.answer(503, {"detail": "loading"})
        return self.answer(200, {"model_loaded": True, "object": "list", "data": [{"id": "m", "object": "model"}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if KIND == "refusing":
            return self.answer(400, {"error": {"message": "no such luck"}})
        if KIND == "html":
            return self.answer(200, "<html>a proxy's page</html>")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for word in self.words(asked):
            self.piece({"content": word})
            if KIND == "dying":
                print("about to die", flush=True)
                os._exit(9)
            if KIND == "hanging":
                time.sleep(600)
        self.piece({}, "stop")
        self.wfile.write(b"data: [DONE]\n\n")
        return None

    def words(self, asked: dict[str, Any]) -> list[str]:
        count = sum(message["role"] == "user" for message in asked["messages"])
        return ["It is ", f"{44 + count}."]

    def piece(self, delta: dict[str, str], finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        body = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
        self.wfile.write(f"data: {json.dumps(body)}\n\n".encode())
        self.wfile.flush()

    def answer(self, status: int, body: object) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if KIND == "crashing":
    print("ImportError: no such name", flush=True)
    sys.exit(1)
if KIND == "stubborn":
    import signal

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if KIND == "family":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("starting", flush=True)
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
