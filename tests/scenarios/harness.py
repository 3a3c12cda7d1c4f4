"""What every scenario stands on: a real daemon, real git, ports that the kernel chose, a folder that goes away.

A scenario is a file of its own that ctest runs with the path of `penstock` as its argument (or in $PENSTOCK):

    from harness import scenario, Daemon, Repository

    def story(dir, penstock):
        daemon = Daemon(dir, penstock, repositories=["small"]).start()
        repository = Repository(daemon, "small", {".penstock.yml": "..."})
        run = repository.push("A first commit")
        assert daemon.wait_run(run)["outcome"] == "success"

    scenario(story)

Nothing waits for a time: everything waits for a state, with a deadline. The end is the harness's: it stops the daemon, runs
`penstock down`, looks for anything that is left running, and removes the folder; with PENSTOCK_KEEP=1 it stays.
"""
import hashlib
import hmac
import http.client
import json
import os
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
QUICKSTART = os.path.join(HERE, "..", "..", "examples", "quickstart")
ZERO = "0" * 40


def check(truth, what):
    if not truth:
        raise AssertionError(what)


def equal(is_, should_be, what):
    check(is_ == should_be, f"{what}: expected {should_be!r}, is {is_!r}")


def contains(text, part, what="the text"):
    check(part in text, f"{what} lacks {part!r}:\n{text}")


def wait(what, condition, seconds=60):
    """The condition's first true value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        check(time.monotonic() < deadline, f"waited {seconds} s for {what}, in vain")
        time.sleep(0.05)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def free_range(n=40):
    """The first of n ports that nobody uses, below those the kernel hands out, so that scenarios side by side do not meet."""
    while True:
        first = random.randrange(20000, 32000 - n)
        try:
            for port in range(first, first + n):
                with socket.socket() as s:
                    s.bind(("127.0.0.1", port))
            return first
        except OSError:
            continue


def environment(**more):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "PENSTOCK_"))}
    return dict(env, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null", GIT_TERMINAL_PROMPT="0", NO_COLOR="1", **more)


class Result:
    def __init__(self, argv, done):
        self.argv, self.status, self.out, self.err = argv, done.returncode, done.stdout, done.stderr

    @property
    def json(self):
        try:
            return json.loads(self.out)
        except ValueError:
            raise AssertionError(f"{self}: not JSON")

    def __str__(self):
        return f"{' '.join(self.argv)}: exit status {self.status}\n{self.out}{self.err}"


def command(*argv, status=0, **more):
    """Runs it; its exit status must be `status` (None: any)."""
    more.setdefault("env", environment())
    result = Result(argv, subprocess.run(argv, capture_output=True, text=True, timeout=120, **more))
    check(status is None or result.status == status, f"expected exit status {status} of {result}")
    return result


class Answer:
    def __init__(self, status, body):
        self.status, self.body = status, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body!r}"


def sign_penstock(secret, nonce, body):
    return "sha256=" + hmac.new(secret.encode(), nonce.encode() + b"\n" + body, hashlib.sha256).hexdigest()


def sign_github(secret, body):
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Daemon:
    everyone = []

    def __init__(self, dir, penstock, repositories=(), provider="penstock", targets="", more="", listen=None):
        self.dir, self.binary, self.process = dir, penstock, None
        self.config, self.log = os.path.join(dir, "penstock.yml"), os.path.join(dir, "daemon.log")
        self.socket, self.state = os.path.join(dir, "penstock.sock"), os.path.join(dir, "state")
        # The port stays the same over restarts, so that hooks keep their way.
        self.address = listen or f"127.0.0.1:{free_port()}"
        self.secrets = {name: secrets.token_hex(24) for name in repositories}
        self.bare = {name: os.path.join(dir, name + ".git") for name in repositories}
        lines = "".join(f'  {name}: {{url: "{self.bare[name]}", webhook: {{provider: {provider}, secret: {name}_hook}}}}\n' for name in repositories)
        with open(self.config, "w") as f:
            f.write(f"listen: {self.address}\nsocket: penstock.sock\nstate: state\nlimits: {{parallel_stages: 2}}\n")
            f.write((f"repositories:\n{lines}" if lines else "") + targets + more)
        self.with_secrets = False
        Daemon.everyone.append(self)

    def spawn(self, **env):
        listen = os.path.join(self.state, "listen")
        if os.path.exists(listen):
            os.unlink(listen)
        with open(self.log, "a") as log:
            return subprocess.Popen([self.binary, "serve", "--config", self.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    env=environment(**env), start_new_session=True)

    def start(self, **env):
        self.process = self.spawn(**env)
        listen = os.path.join(self.state, "listen")

        def ready():
            check(self.process.poll() is None, f"the daemon ended with {self.process.returncode}:\n{self.log_text()}")
            return os.path.exists(listen) and self.penstock("ps", "--json", status=None).status == 0
        wait("the daemon", ready, 30)
        with open(listen) as f:
            self.address = f.read().strip()
        if not self.with_secrets:
            for name, secret in self.secrets.items():
                self.penstock("secret", "set", name + "_hook", input=secret)
            self.with_secrets = True
        return self

    def kill9(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """As systemd would: TERM, and a clean end."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError("the daemon did not end within 20 s of SIGTERM")
            equal(self.process.returncode, 0, "the exit status of the daemon after SIGTERM")

    def log_text(self):
        try:
            with open(self.log, errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    # -- commands and questions --------------------------------------------------------------------------------------
    def penstock(self, *args, **more):
        return command(self.binary, *args, env=environment(PENSTOCK_SOCKET=self.socket), **more)

    def ask(self, *args):
        return self.penstock(*args, "--json").json

    def runs(self):
        return self.ask("ps")["runs"]

    def show(self, run):
        # The exit status of show tells the run's outcome; the JSON is what is wanted here.
        return self.penstock("show", str(run), "--json", status=None).json

    def run_of(self, commit, branch=None, seconds=30):
        def find():
            return next((run for run in self.runs() if run["commit"] == commit and branch in (None, run["branch"])), None)
        return wait(f"the run of {commit}", find, seconds)["id"]

    def wait_run(self, run, until=None, seconds=120):
        """The run as shown, once it is finished or `until` holds."""
        def done():
            shown = self.show(run)
            return shown if shown["state"] == "finished" or (until and until(shown)) else None
        try:
            return wait(f"run {run}", done, seconds)
        except AssertionError as problem:
            raise AssertionError(f"{problem}\n{json.dumps(self.show(run), indent=2)}")

    def stage(self, run, name):
        return next(stage for stage in self.show(run)["stages"] if stage["name"] == name)

    def target(self, name="prod"):
        return next(target for target in self.ask("targets")["targets"] if target["name"] == name)

    def live(self, name="prod"):
        return (self.target(name)["live"] or {}).get("version")

    def events(self, subject=None, kind=None):
        """The event log, oldest first."""
        lines = command("curl", "-sSf", "--unix-socket", self.socket, "http://penstock/v1/events?after=0" +
                        (f"&subject={subject}" if subject else "")).out.splitlines()
        return [e for e in map(json.loads, lines) if kind in (None, e["kind"])]

    # -- HTTP --------------------------------------------------------------------------------------------------------
    def http(self, method, path, body=None, headers=None):
        host, port = self.address.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.read())
        finally:
            connection.close()

    def http_raw(self, data):
        """What comes back for exactly these bytes, the sending side closed after them."""
        host, port = self.address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=30) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            answer = b""
            while True:
                more = s.recv(65536)
                if not more:
                    return answer
                answer += more

    def http_post_signed(self, repository, payload, nonce=None, secret=None, signature=None):
        """A delivery as Penstock's own hook would make it."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        nonce = nonce or secrets.token_hex(16)
        signature = signature if signature is not None else sign_penstock(secret or self.secrets[repository], nonce, body)
        headers = {"Content-Type": "application/json", "X-Penstock-Delivery": nonce}
        if signature:
            headers["X-Penstock-Signature"] = signature
        return self.http("POST", "/hooks/" + repository, body, headers)


class Repository:
    """A bare repository that the daemon knows, and a working tree that pushes to it."""

    def __init__(self, daemon, name, files=None, hook=True):
        self.daemon, self.name, self.bare = daemon, name, daemon.bare[name]
        self.work = os.path.join(daemon.dir, name)
        command("git", "init", "-q", "--bare", "-b", "main", self.bare)
        if hook:
            self.install_hook()
        if not os.path.isdir(self.work):
            os.mkdir(self.work)
        command("git", "init", "-q", "-b", "main", self.work)
        self.git("remote", "add", "origin", self.bare)
        for path, text in (files or {}).items():
            self.write(path, text)

    def install_hook(self, *more, **kwargs):
        url = f"http://{self.daemon.address}/hooks/{self.name}"
        return self.daemon.penstock("hook", "install", self.bare, "--url", url, "--secret-stdin", *more,
                                    input=self.daemon.secrets[self.name] + "\n", **kwargs)

    def git(self, *argv, **more):
        return command("git", "-c", "user.name=Scenario", "-c", "user.email=scenario@example.org", *argv, cwd=self.work, **more)

    def write(self, path, text):
        path = os.path.join(self.work, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)

    def read(self, path):
        with open(os.path.join(self.work, path)) as f:
            return f.read()

    def change(self, path, change):
        text = self.read(path)
        changed = change(text)
        check(changed != text, f"the change to {path} changes something")
        self.write(path, changed)

    def commit(self, message):
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD").out.strip()

    def push_only(self, message, ref="main"):
        """The commit and what the pusher saw; the hook says what happened to it."""
        commit = self.commit(message)
        return commit, self.git("push", "-q", "origin", f"HEAD:refs/heads/{ref}").err

    def push(self, message, ref="main"):
        """The run's number."""
        commit, said = self.push_only(message, ref)
        contains(said, " started", "what the pusher sees")
        return self.daemon.run_of(commit, ref)

    def delivery(self, message, ref="main"):
        """Commits and pushes behind the daemon's back, and gives the payload a hook would send."""
        before = self.git("rev-parse", "-q", "--verify", f"refs/remotes/origin/{ref}", status=None).out.strip() or ZERO
        commit = self.commit(message)
        self.git("-c", "core.hooksPath=/dev/null", "push", "-q", "origin", f"HEAD:refs/heads/{ref}")
        return {"ref": f"refs/heads/{ref}", "before": before, "after": commit, "author": "Scenario", "message": message}


SMALL = """version: 1
name: small
on:
  push: {branches: ["**"]}
stages:
  hello:
    run: echo "hello from $CI_COMMIT_BRANCH"
"""


# -- the model of the quickstart ----------------------------------------------------------------------------------------
BETTER = ["radius_mean", "texture_mean", "perimeter_mean", "area_mean", "smoothness_mean", "concavity_mean", "concave_points_mean",
          "radius_error", "area_error", "radius_worst", "texture_worst", "area_worst", "smoothness_worst", "concave_points_worst"]
WORSE = ["texture_error", "symmetry_error"]


class Model(Repository):
    """The quickstart's model repository with a daemon, HAProxy as a target `prod`, and load; steps hold for a second at least."""

    def __init__(self, dir, penstock, rate=200, margin="5%", haproxy=None):
        first = free_range()
        self.frontend = f"127.0.0.1:{free_port()}"
        extra = f', haproxy: "{haproxy}"' if haproxy else ""
        targets = (f'targets:\n  prod:\n    process: {{frontend: "{self.frontend}", ports: {first}-{first + 39}{extra}}}\n'
                   "    allow: {branches: [main]}\n")
        self.daemon = Daemon(dir, penstock, ["tumour"], targets=targets).start()
        shutil.copytree(os.path.join(QUICKSTART, "model"), os.path.join(dir, "tumour"), ignore=shutil.ignore_patterns("__pycache__", "out"))
        super().__init__(self.daemon, "tumour")
        self.change(".penstock.yml", lambda text: re.sub(r"keep_old: \S+", "keep_old: 20s", re.sub(r"margin: 3%", f"margin: {margin}",
                    re.sub(r"at_least: 3s", "at_least: 1s", text))))
        self.rate, self.load, self.stats = rate, None, os.path.join(dir, "load.json")

    def params(self, **changes):
        self.change("params.json", lambda text: json.dumps(dict(json.loads(text), **changes), indent=2) + "\n")

    def release(self, message, **params):
        """Pushes a changed model and waits until it is live; the version that is."""
        if params:
            self.params(**params)
        run = self.push(message)
        shown = self.daemon.wait_run(run)
        equal(shown["outcome"], "success", f"{message}: {shown['reason']}\n{json.dumps(shown, indent=2)}\noutcome")
        return self.daemon.live()

    def start_load(self):
        self.load = subprocess.Popen([sys.executable, os.path.join(QUICKSTART, "load.py"), "--to", self.frontend, "--data",
                                      os.path.join(QUICKSTART, "model/data/wdbc.csv"), "--rate", str(self.rate), "--connections", "8",
                                      "--stats", self.stats])
        children.append(self.load)
        wait("the load", lambda: self.tally().get("sent", 0) > 50, 20)

    def tally(self):
        try:
            with open(self.stats) as f:
                return json.load(f)
        except (OSError, ValueError):
            return {}

    def sent_more(self, n=100):
        """Waits until n more requests were sent."""
        sent = self.tally()["sent"]
        wait("more traffic", lambda: self.tally()["sent"] > sent + n, 30)

    def end_load(self, faulty=None):
        """No request failed that was not the faulty release's own; returns how many of those there were."""
        self.load.terminate()
        self.load.wait(20)
        tally = self.tally()
        failed = dict(tally["failed"])
        own = failed.pop(faulty, 0)
        check(not failed, f"requests failed outside the faulty release: {failed}, {tally['examples']}")
        check(tally["sent"] > 100, "the load was too light to mean anything")
        return own

    def until_stepping(self, run):
        shown = self.daemon.wait_run(run, lambda shown: (shown["rollout"] or {}).get("state") == "stepping")
        equal((shown["rollout"] or {}).get("state"), "stepping", f"the rollout of run {run} ({shown['reason']})")
        return shown


# -- a service that behaves as its scenario says -----------------------------------------------------------------------
SERVICE = """version: 1
name: shop
on:
  push: {branches: [main]}
stages:
  image:
    build:
      image: registry.local/shop
      base: host
      layers: [{from: serve.py, to: /app/}, {from: behaviour.json, to: /app/}]
      entrypoint: [python3, /app/serve.py]
      port: 8080
  release:
    needs: [image]
    deploy:
      target: prod
      image: image
      strategy: {canary: {steps: %s, hold: {at_least: %s, at_most: %s}}}
      analysis: %s
      keep_old: 0s
"""


class Service(Model):
    """service/serve.py with a pipeline of two stages: to be released, judged by `metrics`, and looked at again afterwards."""

    def __init__(self, dir, penstock, metrics, steps="[50%]", at_least="1s", at_most="1m", policies="", rate=300, more="", ports=None):
        first = ports or free_range(12)
        self.frontend, self.ports = f"127.0.0.1:{free_port()}", range(first, first + 12)
        targets = (f'targets:\n  prod:\n    process: {{frontend: "{self.frontend}", ports: {first}-{first + 11}}}\n'
                   "    allow: {branches: [main]}\n")
        self.daemon = Daemon(dir, penstock, ["shop"], targets=targets, more=more).start()
        analysis = "{metrics: [%s]%s}" % (", ".join(metrics), ", " + policies if policies else "")
        with open(os.path.join(HERE, "service", "serve.py")) as f:
            serve = f.read()
        Repository.__init__(self, self.daemon, "shop", {"serve.py": serve, ".penstock.yml": SERVICE % (steps, at_least, at_most, analysis)})
        self.behaviour = {"ms": 0, "classes": {"cat": 0.5, "dog": 0.3, "fox": 0.2}, "orders": 0.5}
        self.rate, self.load, self.stats = rate, None, os.path.join(dir, "load.json")

    def behave(self, **changes):
        self.behaviour.update(changes)
        self.write("behaviour.json", json.dumps(self.behaviour))

    def release(self, message, **behaviour):
        self.behave(**behaviour)
        return super().release(message)

    def candidate(self, message, **behaviour):
        """Pushes it and waits until it is judged; the run."""
        self.behave(**behaviour)
        run = self.push(message)
        self.until_stepping(run)
        return run

    def end_load(self):
        check(super().end_load() == 0, "no release of a service fails")

    def rollout(self, run):
        return self.daemon.show(run)["rollout"]

    def explained(self, rollout):
        return self.daemon.penstock("explain", str(rollout)).out

    def look_back(self, rollout, *metrics):
        """What every rollout must allow afterwards: decisions that can be computed again, an explanation, verdicts as metrics."""
        replayed = self.daemon.ask("replay", str(rollout))
        check(replayed["agree"] and replayed["decisions"] == replayed["agreed"] > 0, f"the replay agrees: {replayed}")
        explained, page = self.explained(rollout), self.daemon.http("GET", "/metrics").body.decode()
        for metric in metrics:
            contains(explained, metric, "the explanation")
            contains(page, f'penstock_rollout_metric_verdict{{target="prod",metric="{metric}"', "the daemon's metrics")
            contains(page, f'penstock_rollout_verdict_looks', "the daemon's metrics")
        return replayed


class Prometheus:
    """Debian's, with an operator's short intervals, scraping every port that a copy may have."""

    def __init__(self, dir, ports):
        self.dir, self.process, self.address = dir, None, f"127.0.0.1:{free_port()}"
        self.config = os.path.join(dir, "prometheus.yml")
        targets = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
        with open(self.config, "w") as f:
            f.write("global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
                    f"scrape_configs: [{{job_name: shop, static_configs: [{{targets: [{targets}]}}]}}]\n")
        self.source = f'metric_sources:\n  prom: {{prometheus: {{url: "http://{self.address}", step: 1s, timeout: 3s}}}}\n'

    def start(self):
        self.process = subprocess.Popen(["prometheus", "--config.file=" + self.config, f"--storage.tsdb.path={self.dir}/tsdb",
                                         "--web.listen-address=" + self.address, "--log.level=error"], stdin=subprocess.DEVNULL)
        children.append(self.process)
        wait("Prometheus", self.is_ready, 30)
        return self

    def get(self, path):
        connection = http.client.HTTPConnection(self.address, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return Answer(response.status, response.read())
        except OSError:
            return Answer(0, b"")
        finally:
            connection.close()

    def is_ready(self):
        check(self.process.poll() is None, "Prometheus runs")
        return self.get("/-/ready").status == 200

    def kill9(self):
        self.process.kill()
        self.process.wait()


# -- the end --------------------------------------------------------------------------------------------------------------
children = []


def left_running(dir):
    """Processes whose command line or working directory lies in the scenario's folder."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                line = f.read().replace(b"\0", b" ").decode(errors="replace").strip()
            cwd = os.readlink(f"/proc/{pid}/cwd")
        except OSError:
            continue
        if int(pid) != os.getpid() and (dir in line or cwd == dir or cwd.startswith(dir + "/")):
            found.append(f"{pid} {line} (in {cwd})")
    return found


def tear_down(dir):
    for child in children:
        if child.poll() is None:
            child.terminate()
            child.wait(20)
    problems = []
    for daemon in Daemon.everyone:
        try:
            daemon.stop()
        except AssertionError as problem:
            problems.append(str(problem))
        if re.search(r"Sanitizer|runtime error:|Assertion|assertion", daemon.log_text()):
            problems.append("the daemon's log tells of a mistake of our own")
        down = daemon.penstock("down", "--config", daemon.config, status=None)
        if down.status:
            problems.append(f"cannot take everything down: {down}")
    try:
        wait("everything to end", lambda: not left_running(dir), 20)
    except AssertionError:
        problems += [f"left running: {line}" for line in left_running(dir)]
    return problems


def scenario(story):
    binary = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PENSTOCK")
    if not binary:
        sys.exit(f"usage: {sys.argv[0]} PENSTOCK")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    dir = tempfile.mkdtemp(prefix="penstock-scenario-")
    os.chmod(dir, 0o755)
    problems = []
    try:
        story(dir, os.path.abspath(binary))
    except Exception:
        problems.append(traceback.format_exc())
    finally:
        problems += tear_down(dir)
    for problem in problems:
        print(problem)
    if problems:
        for daemon in Daemon.everyone:
            print(f"-- the end of {daemon.log}\n" + "".join(daemon.log_text().splitlines(True)[-60:]))
    if os.environ.get("PENSTOCK_KEEP"):
        print(f"kept: {dir}")
    else:
        shutil.rmtree(dir, ignore_errors=True)
    sys.exit(1 if problems else 0)
