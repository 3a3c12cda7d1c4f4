"""Serves the model: GET /healthz, POST /predict, GET /metrics (OpenMetrics). Standard library only.

Listens on 127.0.0.1:$PORT, as Penstock's process target asks for. Every answer goes out in one write on a socket
without Nagle's delay, so that keep-alive connections do not wait for delayed acknowledgements.
"""
import asyncio
import json
import os
import signal
import socket
import time

from model import Model

RELEASE = os.environ.get("PENSTOCK_RELEASE", "dev")
EDGES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 413: "Payload Too Large",
           500: "Internal Server Error"}


class Metrics:
    def __init__(self):
        self.by_status, self.buckets, self.sum, self.scores = {}, [0] * (len(EDGES) + 1), 0.0, [0] * 10

    def observe(self, status, seconds):
        self.by_status[status] = self.by_status.get(status, 0) + 1
        self.buckets[next((i for i, edge in enumerate(EDGES) if seconds <= edge), len(EDGES))] += 1
        self.sum += seconds

    def text(self):
        lines = ["# TYPE http_requests counter"]
        lines += [f'http_requests_total{{status="{s}"}} {n}' for s, n in sorted(self.by_status.items())]
        lines.append("# TYPE predict_seconds histogram")
        total = 0
        for edge, n in zip([*EDGES, "+Inf"], self.buckets):
            total += n
            lines.append(f'predict_seconds_bucket{{le="{edge}"}} {total}')
        lines += [f"predict_seconds_sum {self.sum:.6f}", f"predict_seconds_count {total}"]
        # What `prediction_drift` and `score_distribution` read (docs/metric-sources.md of Penstock).
        lines.append("# TYPE penstock_predictions counter")
        for name, n in (("benign", sum(self.scores[:5])), ("malignant", sum(self.scores[5:]))):
            lines.append(f'penstock_predictions_total{{class="{name}"}} {n}')
        lines.append("# TYPE penstock_score histogram")
        seen = 0
        for i, n in enumerate(self.scores):
            seen += n
            lines.append(f'penstock_score_bucket{{le="{(i + 1) / 10 if i < 9 else "+Inf"}"}} {seen}')
        lines += [f"penstock_score_count {seen}", "# EOF", ""]
        return "\n".join(lines)


MODEL = None
METRICS = Metrics()


def predict(row):
    p = MODEL.predict(row)
    METRICS.scores[min(int(p * 10), 9)] += 1
    return {"malignant": round(p, 6), "release": RELEASE}


def answer(method, path, body):
    """(status, content type, bytes) for one request."""
    if path == "/healthz":
        return 200, "text/plain", b"ok\n"
    if path == "/metrics":
        return 200, "application/openmetrics-text; version=1.0.0; charset=utf-8", METRICS.text().encode()
    if path != "/predict":
        return 404, "text/plain", b"not found\n"
    if method != "POST":
        return 405, "text/plain", b"POST a JSON object of features\n"
    try:
        row = json.loads(body)
        return 200, "application/json", json.dumps(predict(row)).encode() + b"\n"
    except (KeyError, TypeError, ValueError) as error:
        return 400, "text/plain", f"bad row: {error}\n".encode()


class Connection(asyncio.Protocol):
    MAX = 64 * 1024

    def connection_made(self, transport):
        self.transport, self.data = transport, b""
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data):
        self.data += data
        while True:
            head, separator, rest = self.data.partition(b"\r\n\r\n")
            if not separator:
                if len(self.data) > self.MAX:
                    self.reply(413, "text/plain", b"too large\n", close=True)
                return
            lines = head.decode("latin-1").split("\r\n")
            headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
            length = headers.get("content-length", "0")
            parts = lines[0].split(" ")
            if len(parts) != 3 or not length.isdigit():
                self.reply(400, "text/plain", b"bad request\n", close=True)
                return
            if int(length) > self.MAX:
                self.reply(413, "text/plain", b"too large\n", close=True)
                return
            if len(rest) < int(length):
                return
            body, self.data = rest[:int(length)], rest[int(length):]
            started = time.monotonic()
            try:
                status, kind, payload = answer(parts[0], parts[1].split("?")[0], body)
            except Exception as error:  # a bug must cost one answer, not the server
                status, kind, payload = 500, "text/plain", f"{type(error).__name__}: {error}\n".encode()
            if parts[1] == "/predict":
                METRICS.observe(status, time.monotonic() - started)
            self.reply(status, kind, payload, close=headers.get("connection", "").lower() == "close")

    def reply(self, status, kind, payload, close=False):
        head = (f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(payload)}\r\n"
                f"X-Release: {RELEASE}\r\n{'Connection: close' + chr(13) + chr(10) if close else ''}\r\n")
        self.transport.write(head.encode() + payload)
        if close:
            self.transport.close()


async def main():
    global MODEL
    here = os.path.dirname(os.path.abspath(__file__))
    MODEL = Model.load(os.path.join(here, "model", "model.json"))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", int(os.environ.get("PORT", "8080")), backlog=512)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    print(f"release {RELEASE} listens on port {os.environ.get('PORT', '8080')}", flush=True)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
