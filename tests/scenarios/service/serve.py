"""A model server whose behaviour is a file: how long an answer takes, which classes it predicts, how many visits become orders.

GET /healthz, POST /predict, GET /metrics. Listens on 127.0.0.1:$PORT; behaviour.json lies beside this file:
{"ms": 4, "classes": {"cat": 0.5, "dog": 0.5}, "orders": 0.5}.
"""
import asyncio
import json
import os
import random
import signal
import socket
import time

RELEASE = os.environ.get("PENSTOCK_RELEASE", "dev")
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "behaviour.json")) as f:
    BEHAVIOUR = json.load(f)
CLASSES, STARTED = BEHAVIOUR["classes"], time.time()
counted = dict.fromkeys(CLASSES, 0)
shop = {"visits": 0, "orders": 0}


def metrics():
    lines = [f"# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds {STARTED:.3f}", "# TYPE penstock_predictions_total counter"]
    lines += [f'penstock_predictions_total{{class="{name}"}} {n}' for name, n in sorted(counted.items())]
    lines += [f"# TYPE shop_{name}_total counter\nshop_{name}_total {n}" for name, n in shop.items()]
    return "\n".join(lines) + "\n"


def predict():
    name = random.choices(list(CLASSES), list(CLASSES.values()))[0]
    counted[name] += 1
    shop["visits"] += 1
    shop["orders"] += random.random() < BEHAVIOUR["orders"]
    return json.dumps({"class": name, "release": RELEASE}) + "\n"


class Connection(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.data = transport, b""
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data):
        self.data += data
        while b"\r\n\r\n" in self.data:
            head, rest = self.data.split(b"\r\n\r\n", 1)
            lines = head.decode("latin-1").lower().split("\r\n")
            headers = dict(line.split(":", 1) for line in lines[1:])
            length = int(headers.get("content-length", 0))
            if len(rest) < length:
                return
            self.data = rest[length:]
            self.answer(lines[0].split(" ")[1], "close" in headers.get("connection", ""))

    def answer(self, path, close):
        if path == "/predict":
            # Around the given time, the way real answers are: never much faster, sometimes slower.
            ms = BEHAVIOUR["ms"] * (0.9 + random.expovariate(5))
            if ms:
                asyncio.get_running_loop().call_later(ms / 1e3, self.reply, predict(), close)
            else:
                self.reply(predict(), close)
        else:
            self.reply(metrics() if path == "/metrics" else "ok\n", close)

    def reply(self, body, close):
        self.transport.write((f"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {len(body)}\r\n"
                              f"X-Release: {RELEASE}\r\n\r\n{body}").encode())
        if close:
            self.transport.close()


async def main():
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", int(os.environ["PORT"]), backlog=512)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    server.close()


asyncio.run(main())
