"""A service that can be told to misbehave, in place of the quickstart's model: an image of two files, and the deploy stage that a
scenario asks for."""
import http.client
import json
import os
import socket

from harness import Answer, Daemon, Model, Repository, check, contains, equal, free_port, free_range, wait

# Its model is a file of JSON; what is wrong with a release is in there too. A request to a copy's own port changes that copy alone.
SERVER = '''import asyncio, json, os, signal, socket
START = os.urandom(6).hex()
KNOBS = json.load(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "model.json")))
RELEASE = os.environ.get("PENSTOCK_RELEASE", "dev")

class Connection(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.data = transport, b""
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data):
        self.data += data
        while b"\\r\\n\\r\\n" in self.data:
            head, rest = self.data.split(b"\\r\\n\\r\\n", 1)
            length = next((int(l.split(b":")[1]) for l in head.split(b"\\r\\n") if l.lower().startswith(b"content-length:")), 0)
            if len(rest) < length:
                return
            self.data = rest[length:]
            self.answer(head.split(b" ")[1].decode())

    def answer(self, path):
        if path.startswith("/knob/"):
            KNOBS[path[6:]] = True
        elif KNOBS.get("hang"):
            return
        if path == "/verify":
            KNOBS["verified"] = KNOBS.get("verified", 0) + 1
        if path == "/knob/die":
            print("told to die", flush=True)
            os._exit(3)
        ill = path == "/healthz" and KNOBS.get("ill") or path == "/predict" and KNOBS.get("fail")
        body = json.dumps({"release": RELEASE, "start": START, "knobs": KNOBS}).encode()
        self.transport.write((f"HTTP/1.1 {'500 Sorry' if ill else '200 OK'}\\r\\nContent-Length: {len(body)}\\r\\n"
                              f"X-Release: {RELEASE}\\r\\n\\r\\n").encode() + body)

async def main():
    if KNOBS.get("crash"):
        print("no such model: weights.bin", flush=True)
        os._exit(3)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await loop.create_server(Connection, "127.0.0.1", int(os.environ["PORT"]), backlog=512)
    await stop.wait()

asyncio.run(main())
'''


class Puppet(Model):
    def __init__(self, dir, penstock, deploy, preview=False, rate=100, more=""):
        first = free_range()
        self.frontend, self.preview = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        shown = f', preview: "{self.preview}"' if preview else ""
        targets = (f'targets:\n  prod:\n    process: {{frontend: "{self.frontend}", ports: {first}-{first + 39}, drain: 2s, grace: 2s{shown}{more}}}\n'
                   "    allow: {branches: [main]}\n")
        self.daemon = Daemon(dir, penstock, ["service"], targets=targets).start()
        Repository.__init__(self, self.daemon, "service", {"serve.py": SERVER})
        self.rate, self.load, self.stats = rate, None, os.path.join(dir, "load.json")
        self.deploy(**deploy)
        self.model(content=0)

    def deploy(self, version="auto", **body):
        body = dict({"target": "prod", "image": "image", "health": {"within": "20s"}, "keep_old": "30s"}, **body)
        build = {"image": "registry.local/service", "base": "host", "entrypoint": ["python3", "-S", "/app/serve.py"], "version": version,
                 "layers": [{"from": "serve.py", "to": "/app/"}, {"from": "model.json", "to": "/app/"}]}
        self.write(".penstock.yml", json.dumps({"version": 1, "name": "service", "on": {"push": {"branches": ["main"]}}, "stages": {
            "image": {"build": build}, "release": {"needs": ["image"], "deploy": body}}}, indent=2))

    def model(self, **knobs):
        self.write("model.json", json.dumps(knobs))

    def push_model(self, **knobs):
        """The run's number; nothing is waited for."""
        self.model(**knobs)
        return self.push(f"Model {knobs}")

    def first(self, **knobs):
        """The version of a release that is live."""
        run = self.push_model(**knobs)
        equal(self.daemon.wait_run(run)["outcome"], "success", f"run {run} ({self.daemon.show(run)['reason']})")
        return self.daemon.live()

    def rollout(self, run):
        return self.daemon.show(run)["rollout"] or {}

    def until(self, run, *states, seconds=40):
        """The run's rollout, once it is in one of these states."""
        def there():
            rollout = self.rollout(run)
            state = rollout.get("state") or (self.daemon.show(run)["state"] == "finished" and "none")
            check(state in states or state not in ("promoted", "rolled_back", "failed", "none"),
                  f"the rollout of run {run} is {state}: {rollout.get('reason')}")
            return rollout if state in states else None
        try:
            return wait(f"the rollout of run {run} to be {' or '.join(states)}", there, seconds)
        except AssertionError as problem:
            rollout = {k: v for k, v in self.rollout(run).items() if k not in ("spec", "policies")}
            raise AssertionError(f"{problem}\n{json.dumps(rollout, indent=2)}") from None

    def ask(self, address=None, path="/predict"):
        """One request, as a client makes it; the answer's JSON as `json`, an answer by HAProxy itself as text."""
        host, port = (address or self.frontend).rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return Answer(response.status, response.read())
        finally:
            connection.close()

    def copies(self, version=None):
        """[{id, port, start, version}] of the copies that answer; `start` is another one after each start."""
        found = []
        for folder in sorted(os.listdir(os.path.join(self.daemon.state, "targets/prod/instances"))):
            try:
                with open(os.path.join(self.daemon.state, "targets/prod/instances", folder, "instance.json")) as f:
                    port = json.load(f)["port"]
                said = self.ask(f"127.0.0.1:{port}").json
            except (OSError, ValueError, http.client.HTTPException):
                continue
            if version in (None, said["release"]):
                found.append({"id": folder, "port": port, "start": said["start"], "version": said["release"]})
        return found

    def knob(self, copy, name):
        try:
            self.ask(f"127.0.0.1:{copy['port']}", "/knob/" + name)
        except (OSError, http.client.HTTPException):
            check(name in ("die", "hang"), f"the knob {name}")

    def admin(self, command):
        """A command to HAProxy's own socket, as `socat` would send it; the path is short from its folder alone."""
        here = os.getcwd()
        os.chdir(os.path.join(self.daemon.state, "targets/prod/haproxy"))
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(10)
                s.connect("r.sock")
                s.sendall(command.encode() + b"\n")
                answer = b""
                while more := s.recv(65536):
                    answer += more
                return answer.decode()
        finally:
            os.chdir(here)

    def server(self, copy):
        """What HAProxy has of a copy: {"name": "prod-a/i1", "up": True}."""
        for line in self.admin("show servers state").splitlines():
            words = line.split()
            if len(words) > 18 and words[4] == "127.0.0.1" and words[18] == str(copy["port"]):
                return {"name": f"{words[1]}/{words[3]}", "up": words[5] == "2"}
        return {"name": None, "up": False}

    def repaired(self, *words, after=0):
        """The repair that is told with these words, in an event after that one; its id."""
        def told():
            return next((e["id"] for e in self.daemon.events("target/prod", "target.repaired")
                         if e["id"] > after and all(word in e["data"]["found"] for word in words)), None)
        try:
            return wait(f"the repair of {words} to be told", told, 30)
        except AssertionError as problem:
            raise AssertionError(f"{problem}: {self.daemon.events('target/prod')}") from None

    def end_load(self, faulty=None, lost=0):
        """As Model's; what crashed may have had up to `lost` requests in hand."""
        if not lost:
            return super().end_load(faulty)
        self.load.terminate()
        self.load.wait(20)
        tally = self.tally()
        check(sum(tally["failed"].values()) <= lost, f"more than {lost} requests failed: {tally['failed']}, {tally['examples']}")
        check(not [e for e in tally["examples"] if "refused" in e.lower() or "503" in e], f"requests were refused: {tally['examples']}")

    def replays(self, rollout):
        """What was decided can be computed again."""
        report = self.daemon.penstock("replay", str(rollout))
        contains(report.out, "agree", "the replay's report")
