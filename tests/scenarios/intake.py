"""The inbox: what is taken, what is refused and how, and that nothing runs twice."""
import json
import secrets
import socket

from harness import Daemon, Repository, SMALL, equal, check, contains, scenario, sign_github, sign_penstock


def story(dir, penstock):
    daemon = Daemon(dir, penstock, ["small"]).start()
    repository = Repository(daemon, "small", {".penstock.yml": SMALL}, hook=False)
    push = repository.delivery("First")

    equal(daemon.http("GET", "/healthz").status, 200, "/healthz")
    metrics = daemon.http("GET", "/metrics")
    equal(metrics.status, 200, "/metrics")
    contains(metrics.body.decode(), "# EOF", "/metrics")
    equal(daemon.http("GET", "/v1/runs").status, 404, "the API is not served over TCP")

    # Forged, missing, of another kind, for another nonce, for a repository that is not there: always the same.
    body, nonce = json.dumps(push).encode(), secrets.token_hex(16)
    right = sign_penstock(daemon.secrets["small"], nonce, body)
    refusals = {
        "another key": daemon.http_post_signed("small", push, secret="another"),
        "no signature": daemon.http_post_signed("small", push, signature=""),
        "no sha256": daemon.http_post_signed("small", body, nonce, signature="sha1=" + right[7:47]),
        "cut short": daemon.http_post_signed("small", body, nonce, signature=right[:-1]),
        "another nonce": daemon.http_post_signed("small", body, secrets.token_hex(16), signature=right),
        "another body": daemon.http_post_signed("small", body + b" ", nonce, signature=right),
        "an unknown repository": daemon.http_post_signed("nobody", body, nonce, signature=right),
    }
    for what, answer in refusals.items():
        equal(answer.status, 401, what)
    equal(refusals["an unknown repository"].body, refusals["another key"].body, "an unknown repository tells nothing")

    # Signed, but nothing that could be run.
    for what, payload in {
        "no JSON": b"{",
        "no object": b"[1]",
        "no ref": {k: v for k, v in push.items() if k != "ref"},
        "an option for a ref": dict(push, ref="refs/heads/--upload-pack=x"),
        "a way out for a ref": dict(push, ref="refs/heads/../../x"),
        "a control byte in the ref": dict(push, ref="refs/heads/a\nb"),
        "no commit": dict(push, after="HEAD"),
    }.items():
        equal(daemon.http_post_signed("small", payload).status, 400, what)
    equal(daemon.http_post_signed("small", dict(push, message="x" * (30 << 20))).status, 413, "an oversized body")
    head = f"POST /hooks/small HTTP/1.1\r\nHost: x\r\nX-Penstock-Delivery: {nonce}\r\nX-Penstock-Signature: {right}\r\n"
    bad = daemon.http_raw(head.encode() + b"Content-Length: -5\r\n\r\n" + body)
    check(not bad or bad.split()[1] == b"400", f"a Content-Length below zero: {bad!r}")
    # A body that ends before its time: the sender is gone, and nothing was taken.
    host, port = daemon.address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=30) as half:
        half.sendall(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:-5])
        equal(daemon.http("GET", "/healthz").status, 200, "/healthz while somebody takes his time")
    equal(daemon.runs(), [], "no run yet")

    # Taken once, however often it comes.
    first = daemon.http_post_signed("small", body, nonce)
    equal(first.status, 202, "a good delivery")
    check(not first.json["duplicate"] and first.json["run"], f"a new run: {first}")
    for what in ("the same delivery", "the same delivery after a restart"):
        again = daemon.http_post_signed("small", body, nonce)
        check(again.status in (200, 202), f"{what}: {again}")
        equal((again.json["run"], again.json["duplicate"]), (first.json["run"], True), what)
        daemon.kill9()
        daemon.start()
    shown = daemon.wait_run(first.json["run"])
    equal(shown["outcome"], "success", f"the run ({shown['reason']})")
    equal(len(daemon.runs()), 1, "runs")
    # The same body under another nonce is another push: A, back to B, A again.
    check(not daemon.http_post_signed("small", body).json["duplicate"], "the same push once more is a push of its own")
    daemon.stop()

    github(dir + "/github", penstock)


def github(dir, penstock):
    import os
    os.mkdir(dir)
    daemon = Daemon(dir, penstock, ["hub"], provider="github").start()
    repository = Repository(daemon, "hub", {".penstock.yml": SMALL}, hook=False)
    push = repository.delivery("From GitHub")
    payload = {"ref": push["ref"], "before": push["before"], "after": push["after"], "deleted": False,
               "head_commit": {"id": push["after"], "message": "From GitHub", "author": {"name": "Octo", "email": "o@example.org"}},
               "commits": [], "repository": {"full_name": "acme/hub"}, "pusher": {"name": "octo"}}
    body = json.dumps(payload).encode()

    def send(event, body, signature=None, delivery=None):
        return daemon.http("POST", "/hooks/hub", body, {"X-GitHub-Event": event, "X-GitHub-Delivery": delivery or secrets.token_hex(16),
                           "X-Hub-Signature-256": signature or sign_github(daemon.secrets["hub"], body), "Content-Type": "application/json"})
    equal(send("push", body, sign_github("wrong", body)).status, 401, "a forged push")
    check(send("ping", b'{"zen": "Keep it logically awesome."}').status in (200, 202), "a ping")
    answer = send("push", body)
    equal(answer.status, 202, f"a push {answer}")
    check(send("push", body).json["duplicate"], "a redelivery under another id is a duplicate")
    equal(daemon.wait_run(answer.json["run"])["outcome"], "success", "GitHub's run")
    deleted = json.dumps(dict(payload, before=push["after"], after="0" * 40, deleted=True, head_commit=None)).encode()
    check(send("push", deleted).status in (200, 202), "a deleted branch")
    equal(len(daemon.runs()), 1, "runs")


scenario(story)
