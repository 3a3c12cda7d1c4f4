"""Sends real rows to the model at a steady rate over keep-alive connections and counts every failed request.

A request fails if it is answered by anything but 200, not answered within five seconds, or its connection breaks. Failures are
counted by the release that answered (its X-Release header; "none" if nobody did). The tally is written to --stats twice a second
and when it ends (SIGTERM), as one JSON object.
"""
import argparse
import csv
import json
import os
import signal
import socket
import threading
import time


class Tally:
    def __init__(self):
        self.lock = threading.Lock()
        self.ok, self.failed, self.examples = {}, {}, []
        self.latencies, self.started = [], time.monotonic()

    def add(self, release, error, seconds):
        with self.lock:
            book = self.failed if error else self.ok
            book[release] = book.get(release, 0) + 1
            if error and len(self.examples) < 20:
                self.examples.append(f"{release}: {error}")
            self.latencies.append(seconds)
            if len(self.latencies) > 4000:
                del self.latencies[:2000]

    def write(self, path):
        with self.lock:
            latencies = sorted(self.latencies)
            elapsed = time.monotonic() - self.started
            sent = sum(self.ok.values()) + sum(self.failed.values())
            tally = {"seconds": round(elapsed, 2), "sent": sent, "rate": round(sent / max(elapsed, 1e-9), 1),
                     "ok": self.ok, "failed": self.failed, "examples": self.examples,
                     "p50_ms": round(latencies[len(latencies) // 2] * 1e3, 2) if latencies else None,
                     "p99_ms": round(latencies[int(len(latencies) * 0.99)] * 1e3, 2) if latencies else None}
            text = json.dumps(tally, sort_keys=True)
        with open(path + ".new", "w") as f:
            f.write(text + "\n")
        os.replace(path + ".new", path)


class Connection:
    def __init__(self, address):
        self.address, self.socket, self.buffer = address, None, b""

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket, self.buffer = None, b""

    def request(self, payload):
        """(status, release) of one exchange; raises OSError when the connection breaks."""
        if not self.socket:
            self.socket = socket.create_connection(self.address, timeout=5)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(payload)
        while b"\r\n\r\n" not in self.buffer:
            self.read()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        length = int(headers.get("content-length", "0"))
        while len(self.buffer) < length:
            self.read()
        self.buffer = self.buffer[length:]
        if headers.get("connection", "").lower() == "close":
            self.close()
        return int(lines[0].split(" ")[1]), headers.get("x-release", "none")

    def read(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("connection closed before the answer was complete")
        self.buffer += data


def send(address, payloads, interval, offset, tally, stop):
    connection, due, i = Connection(address), time.monotonic() + offset, 0
    while not stop.is_set():
        delay = due - time.monotonic()
        if delay > 0 and stop.wait(delay):
            break
        # Open loop: what is late is sent late, but never left out; after a pause of more than a second the clock starts anew.
        due = due + interval if delay > -1 else time.monotonic() + interval
        started, release, error = time.monotonic(), "none", None
        try:
            status, release = connection.request(payloads[i % len(payloads)])
            if status != 200:
                error = f"status {status}"
        except (OSError, ValueError, IndexError) as problem:
            error = f"{type(problem).__name__}: {problem}"
            connection.close()
        tally.add(release, error, time.monotonic() - started)
        i += 1
    connection.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", required=True, help="host:port")
    parser.add_argument("--data", required=True)
    parser.add_argument("--rate", type=float, default=450, help="requests a second")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--stats", required=True)
    args = parser.parse_args()

    host, port = args.to.rsplit(":", 1)
    with open(args.data, newline="") as f:
        rows = [json.dumps({k: float(v) for k, v in row.items() if k not in ("id", "malignant")}) for row in csv.DictReader(f)]
    payloads = [f"POST /predict HTTP/1.1\r\nHost: {args.to}\r\nContent-Type: application/json\r\nContent-Length: {len(row)}\r\n\r\n{row}"
                .encode() for row in rows]
    tally, stop = Tally(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threads = [threading.Thread(target=send, daemon=True, args=((host, int(port)), payloads[k::args.connections],
                                args.connections / args.rate, k / args.rate, tally, stop)) for k in range(args.connections)]
    for thread in threads:
        thread.start()
    while not stop.wait(0.5):
        tally.write(args.stats)
    for thread in threads:
        thread.join(6)
    tally.write(args.stats)


if __name__ == "__main__":
    main()
