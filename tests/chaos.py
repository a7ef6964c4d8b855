"""A search among everything that goes wrong: an endpoint that answers badly, and a run whose workers are killed.

`python chaos.py RUN_FOLDER SECONDS` carries a run on and kills one of its trainers every so many seconds (0: none). It
prints how many it killed. No candidate's training is hit twice: two losses would end it as worker_lost, rightly.
"""

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import socket
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil

HOSTILE = {
    "exits": "import os\nos._exit(0)",
    "segfaults": "import numpy\nprint(numpy.lib.stride_tricks.as_strided(numpy.zeros(1), (10**12,))[10**11])",
    "loops": "while True:\n    pass",
    "forks": "import os, time\nfor _ in range(9):\n    os.fork()\ntime.sleep(20)",
    "allocates": "held = []\nwhile True:\n    held.append(bytearray(50_000_000))",
    "kills": "import os, signal\nos.kill(0, signal.SIGKILL)",
}
"""What a candidate does in its train(), by name."""
SPOILED = ("", "no code here", "```python\nmodel.py\nclass GPT(", "```python\nmodel.py\nclass GPT(\n```", "protected")
VARIANTS = 9
"""Different honest answers; a search of 60 candidates meets most of them more than once."""


class Endpoint(ThreadingHTTPServer):
    """Answers by the request's seed alone. With `faults`, the first tries of a request may meet one.

    Args:
        baseline: the evaluator's files, which every answer is made from.
        faults: whether the endpoint itself is in trouble now and then.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, baseline, faults):
        self.baseline, self.faults = baseline, faults
        self.tries, self.met, self.lock = {}, [], threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)
        self.base_url = f"http://127.0.0.1:{self.server_address[1]}/v1"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        """Clients that hang up on a silent endpoint are right."""

    def fault(self, seed):
        """429, 500, reset, silence or None."""
        with self.lock:
            number = self.tries[seed] = self.tries.get(seed, 0) + 1
            drawn = random.Random(f"{seed}/{number}").random()
            kinds = ("429", "500", "reset", "silence")
            kind = kinds[int(drawn * 20)] if self.faults and number <= 3 and drawn < 0.2 else None
            self.met.append(kind)
        return kind


def kind_of(seed):
    """What the answer to a seed is: a name of HOSTILE, "bad" or "honest". With 225, 60 candidates meet each of them."""
    drawn = random.Random(f"kind 225 {seed}").random()
    if drawn < 0.1:
        return "bad"
    return random.Random(f"hostile 225 {seed}").choice(sorted(HOSTILE)) if drawn < 0.2 else "honest"


def answer(baseline, seed):
    """The text of an answer."""
    kind, train, model = kind_of(seed), baseline["train_mps.py"], baseline["model.py"]
    if kind == "bad":
        text = random.Random(seed).choice(SPOILED)
        return text if text != "protected" else _block("train_mps.py", train.replace("max_iters = 4", "max_iters = 5"))
    if kind == "honest":
        return _block("model.py", model.replace("std=0.02 /", f"std={0.03 + 0.005 * (seed % VARIANTS):.3f} /"))
    body = "\n".join(f"    {line}" for line in HOSTILE[kind].splitlines())
    return _block("train_mps.py", re.sub(r"(def train\(\).*:\n)", rf"\g<1>    seed = {seed}\n{body}\n", train, count=1))


def _block(name, text):
    return f"One change.\n\n```python\n{name}\n{text}```"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        """Quiet."""

    def do_GET(self):
        self._send(200, {"object": "list", "data": []})

    def do_POST(self):
        seed = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["seed"]
        kind = self.server.fault(seed)
        if kind in ("429", "500"):
            self._send(int(kind), {"error": {"message": "in trouble"}})
        elif kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
        else:
            if kind == "silence":
                time.sleep(8)
            message = {"role": "assistant", "content": answer(self.server.baseline, seed)}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self._send(200, {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]})

    def _send(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if status == 429:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(data)


class Killer(threading.Thread):
    """Kills a trainer at work every so many seconds, and spares every training that a kill may have hit before."""

    def __init__(self, seconds):
        super().__init__(daemon=True)
        self.seconds, self.kills, self.hit, self.training = seconds, 0, set(), set()

    def plant(self, kind):
        """Know who is training: whoever took a trainer, and has not come back."""
        take, judge = kind._take, kind.judge

        async def noted_take(pool):
            actor = await take(pool)
            self.training.add(asyncio.current_task())
            return actor

        async def noted_judge(pool, job):
            try:
                return await judge(pool, job)
            finally:
                self.training.discard(asyncio.current_task())

        kind._take, kind.judge = noted_take, noted_judge

    def run(self):
        due = time.monotonic() + self.seconds
        while True:
            time.sleep(0.1)
            if time.monotonic() < due:
                continue
            now = set(self.training)
            working = [one for one in psutil.Process().children(recursive=True) if _is_judging(one)]
            if now and working and not now & self.hit:
                self.hit |= now
                with contextlib.suppress(psutil.Error):
                    os.kill(random.choice(working).pid, signal.SIGKILL)
                    self.kills += 1
                    due = time.monotonic() + self.seconds


def _is_judging(process):
    with contextlib.suppress(psutil.Error):
        return process.name().startswith("ray::TrainerAct") and "judge" in " ".join(process.cmdline())
    return False


def main():
    import standins

    from evo.driver import run_folder as folders
    from evo.driver import session, workers
    from evo.lineage import lock

    run, seconds, watcher = folders.open_run(Path(sys.argv[1])), float(sys.argv[2]), standins.Watcher()
    killer = Killer(seconds)
    if seconds:
        killer.plant(workers.Trainers)
        killer.start()
    with lock.writer(run.path):
        session.run_session(run, watcher)
    print(json.dumps({"kills": killer.kills, "notes": watcher.notes}))


if __name__ == "__main__":
    main()
