#!/usr/bin/env python3
"""Switching under load: does a request fail while traffic is moved, HAProxy reloaded, the daemon killed?

    cmake --build build --target switching_driver && tests/bench/switching/bench.py build

Needs wrk (Debian: apt-get install wrk), haproxy and bubblewrap. A `process` target with two releases of two copies each stands behind
a real HAProxy; wrk finds what that can carry, and then at half of it (or --rate) goes on while weights change, releases are switched and
switched back, HAProxy is reloaded, and the process that drives the target is killed and started again. Beside wrk, which keeps its
connections, two clients open a new one for each request, and tell a refused connection from a lost answer. Exit status 1: something failed.
Killing HAProxy itself (--crashes) loses what it has in its hands: that is told apart, and only refused connections count as failed.
"""
import argparse
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ALL = 1000000


def free_port():
    """Below the kernel's range for clients, whose connections might take it."""
    while True:
        with socket.socket() as s:
            port = random.randrange(10000, 29000)
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Driver:
    """The daemon's part: killed and started again at will."""

    def __init__(self, build, work):
        self.program = os.path.join(build, "bin", "switching_driver")
        self.work = work
        self.port, self.preview = free_port(), free_port()
        first = random.randrange(30, 160) * 100 + 50
        self.generation = 0
        context, app = os.path.join(work, "context"), os.path.join(work, "context", "app")
        os.makedirs(app)
        os.makedirs(os.path.join(work, "state"))
        shutil.copy(os.path.join(build, "bin", "switching_server"), app)
        self.layout = os.path.join(work, "oci")
        self.images = [self.image(context, version) for version in ("va", "vb")]
        self.config = os.path.join(work, "target.yml")
        with open(self.config, "w") as f:
            f.write('frontend: "127.0.0.1:%d"\npreview: "127.0.0.1:%d"\nports: %d-%d\ndrain: 10s\ngrace: 2s\n'
                    % (self.port, self.preview, first, first + 40))
        self.start()

    def image(self, context, version):
        return subprocess.run([self.program, "image", self.layout, context, version], check=True, capture_output=True, text=True).stdout.strip()

    def start(self):
        self.process = subprocess.Popen([self.program, "serve", os.path.join(self.work, "state"), self.layout, self.config] + self.images,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise RuntimeError("%s: %s" % (line, answer["error"]))
        return answer

    def apply(self, a, b, preview=0):
        self.generation += 1
        return self.ask("apply %d %d %d %d" % (self.generation, a, b, preview))["ms"]

    def wait(self):
        """Until everything is up and read back."""
        while True:
            seen = self.ask("observe")
            if seen["router"] and seen["ready"] == 4 and seen["generation"] == self.generation:
                return seen
            time.sleep(0.02)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def haproxy(self, name, command):
        """One command over a socket of HAProxy's; its path is too long for a socket's name, so it is opened from its folder."""
        folder = os.open(os.path.join(self.work, "state", "haproxy"), os.O_PATH)
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(5)
                s.connect("/proc/self/fd/%d/%s" % (folder, name))
                s.sendall(command.encode() + b"\n")
                s.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: s.recv(65536), b"")).decode()
        except OSError:
            return ""
        finally:
            os.close(folder)

    def worker(self):
        lines = [line for line in self.haproxy("r.sock", "show info").split("\n") if line.startswith("Pid: ")]
        return int(lines[0][5:]) if lines else 0

    def end(self):
        self.kill()
        for folder, _, files in os.walk(os.path.join(self.work, "state")):
            if "control" in files and "exit" not in files:
                try:
                    with open(os.open(os.path.join(folder, "control"), os.O_WRONLY | os.O_NONBLOCK), "w") as f:
                        f.write("c")
                except OSError:
                    pass
        time.sleep(3)


class Clients:
    """A connection for each request, counted by how it ends."""

    def __init__(self, port, threads=2, pace_s=0.002):
        self.port, self.pace_s, self.stop = port, pace_s, False
        self.counts = {"requests": 0, "refused": 0, "lost": 0, "status": 0}
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def one(self):
        try:
            s = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        except OSError:
            return "refused"
        with s:
            try:
                s.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
                answer = b"".join(iter(lambda: s.recv(4096), b""))
            except OSError:
                return "lost"
        if not answer.endswith((b"va", b"vb")):
            return "status" if answer.startswith(b"HTTP/1.1 ") else "lost"
        return None if answer.startswith(b"HTTP/1.1 200 ") else "status"

    def run(self):
        while not self.stop:
            failure = self.one()
            with self.lock:
                self.counts["requests"] += 1
                if failure:
                    self.counts[failure] += 1
            time.sleep(self.pace_s)

    def end(self):
        self.stop = True
        for thread in self.threads:
            thread.join()
        return self.counts


def wrk(port, connections, seconds=None, pace_ms=0):
    arguments = ["wrk", "-t1", "-c%d" % connections, "-d%ds" % (seconds or 3600), "--timeout", "30s", "-s", os.path.join(HERE, "report.lua"),
                 "http://127.0.0.1:%d/" % port]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=dict(os.environ, PACE_MS=str(pace_ms)))


def wrk_end(process):
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    out = process.communicate()[0]
    return json.loads([line for line in out.split("\n") if line.startswith("WRK ")][0][4:])


class Bench:
    def __init__(self, options, driver):
        self.options, self.driver, self.rows = options, driver, []

    def capacity(self):
        process = wrk(self.driver.port, 64, seconds=self.options.capacity_seconds)
        process.wait()
        seen = wrk_end(process)
        return seen["requests"] / seen["seconds"]

    def phase(self, name, count, act, crashes=False):
        """Latencies, in ms, are what act() returns; None: none."""
        if not count:
            return
        pace_ms = 20
        connections = max(1, min(2000, round(self.rate * pace_ms / 1000)))
        load, clients = wrk(self.driver.port, connections, pace_ms=pace_ms), Clients(self.driver.port)
        time.sleep(0.5)
        began, latencies = time.monotonic(), []
        for i in range(count):
            ms = act(i)
            if ms is not None:
                latencies.append(ms)
        took = time.monotonic() - began
        time.sleep(0.5)
        w, c = wrk_end(load), clients.end()
        lost = w["read"] + w["write"] + w["timeout"] + c["lost"]
        refused, status = w["connect"] + c["refused"], w["status"] + c["status"]
        row = {"phase": name, "count": count, "seconds": round(took, 1), "requests": w["requests"] + c["requests"],
               "rate": round(w["requests"] / w["seconds"]), "refused": refused, "bad_status": status, "lost": lost,
               "failed": refused + status + (0 if crashes else lost), "request_p99_ms": w["p99_ms"], "request_max_ms": w["max_ms"]}
        if latencies:
            latencies.sort()
            row.update(p50_ms=round(statistics.median(latencies), 2), p95_ms=round(latencies[int(0.95 * (len(latencies) - 1))], 2),
                       max_ms=round(latencies[-1], 2))
        self.rows.append(row)
        print("  %-22s %5d in %6.1f s  %8d requests at %5d/s  failed %d  lost %d   p50 %s p95 %s max %s ms" %
              (name, count, took, row["requests"], row["rate"], row["failed"], lost, row.get("p50_ms", "-"), row.get("p95_ms", "-"),
               row.get("max_ms", "-")), file=sys.stderr, flush=True)

    def weight(self, _):
        b = random.randrange(0, ALL + 1)
        return self.driver.apply(ALL - b, b)

    def switch(self, _):
        self.driver.apply(ALL, 0, preview=2)  # the candidate is shown ...
        return self.driver.apply(0, ALL)      # ... and takes all at once

    def back(self, _):
        return self.driver.apply(ALL, 0)

    def reload(self, _):
        began, before = time.monotonic(), self.driver.worker()
        while self.driver.worker() in (0, before):
            if not self.driver.haproxy("m.sock", "show proc"):
                continue  # its master executes itself anew, and would lose the command
            self.driver.haproxy("m.sock", "reload")
            for _ in range(100):
                if self.driver.worker() not in (0, before):
                    break
                time.sleep(0.01)
        self.driver.wait()
        return 1000 * (time.monotonic() - began)

    def kill_daemon(self, i):
        """While it is away, and again in the middle of a change."""
        driver = self.driver
        if i % 2:
            driver.generation += 1
            driver.process.stdin.write("apply %d %d %d 0\n" % (driver.generation, ALL // 2, ALL // 2))
            time.sleep(random.random() * 0.01)
        driver.kill()
        time.sleep(0.2)
        began = time.monotonic()
        driver.start()
        driver.apply(ALL, 0)
        driver.wait()
        return 1000 * (time.monotonic() - began)

    def crash(self, i):
        before = self.driver.worker()
        began = time.monotonic()
        victim = before
        if i % 2:
            victim = [int(line.split()[0]) for line in self.driver.haproxy("m.sock", "show proc").split("\n") if " master " in line][:1]
            victim = victim[0] if victim else before
        os.kill(victim, signal.SIGKILL)
        while self.driver.worker() in (0, before):
            time.sleep(0.005)
        ms = 1000 * (time.monotonic() - began)
        self.driver.wait()
        time.sleep(0.3)
        return ms

    def run(self):
        o = self.options
        self.driver.apply(0, 0)
        self.driver.apply(ALL, 0)
        self.driver.wait()
        capacity = self.capacity()
        self.rate = o.rate or capacity / 2
        print("capacity %d/s, load %d/s" % (capacity, self.rate), file=sys.stderr, flush=True)
        self.phase("weight changes", o.weights, self.weight)
        self.driver.apply(ALL, 0)
        pairs = o.switches

        def pair(i):
            self.forward.append(self.switch(i))
            return self.back(i)
        self.forward = []
        self.phase("switches and rollbacks", pairs, pair)
        if self.forward:
            self.forward.sort()
            self.rows[-1].update(phase="rollbacks (and switches)", switch_p50_ms=round(statistics.median(self.forward), 2),
                                 switch_max_ms=round(self.forward[-1], 2))
        self.phase("HAProxy reloads", o.reloads, self.reload)
        self.phase("daemon kills", o.kills, self.kill_daemon)
        self.phase("HAProxy crashes", o.crashes, self.crash, crashes=True)
        return {"capacity_per_s": round(capacity), "load_per_s": round(self.rate), "cpus": os.cpu_count(),
                "machine_load": [round(x, 1) for x in os.getloadavg()], "phases": self.rows,
                "failed": sum(row["failed"] for row in self.rows)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", help="build folder")
    parser.add_argument("--weights", type=int, default=1000)
    parser.add_argument("--switches", type=int, default=100, help="blue-green switches, each with its rollback")
    parser.add_argument("--reloads", type=int, default=20)
    parser.add_argument("--kills", type=int, default=20, help="of the daemon's part")
    parser.add_argument("--crashes", type=int, default=0, help="of HAProxy, its worker and its master in turn")
    parser.add_argument("--rate", type=float, help="requests a second; default: half of what HAProxy carries")
    parser.add_argument("--capacity-seconds", type=int, default=5)
    parser.add_argument("--json", help="also write the result to this file")
    options = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("wrk is missing: apt-get install wrk")
    build = os.path.abspath(options.build)
    os.environ.setdefault("PENSTOCK_LEADER", os.path.join(build, "bin", "penstock-leader"))
    with tempfile.TemporaryDirectory(prefix="switching-") as work:
        os.chmod(work, 0o755)
        driver = Driver(build, work)
        try:
            result = Bench(options, driver).run()
        finally:
            driver.end()
    print(json.dumps(result, indent=1))
    if options.json:
        with open(options.json, "w") as f:
            json.dump(result, f, indent=1)
    sys.exit(1 if result["failed"] else 0)


if __name__ == "__main__":
    main()
