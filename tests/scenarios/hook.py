"""The hook: pushes start runs; a daemon that is down costs nothing; what is delivered twice runs once."""
import os
import shutil
import subprocess

from harness import Daemon, Repository, SMALL, command, contains, environment, equal, scenario, wait


def story(dir, penstock):
    daemon = Daemon(dir, penstock, ["small"]).start()
    repository = Repository(daemon, "small", {".penstock.yml": SMALL})
    spool = os.path.join(repository.bare, "penstock/spool")
    status = daemon.penstock("hook", "status", repository.bare)
    contains(status.out, "0 wait, 0 refused.")

    commit, said = repository.push_only("First")
    contains(said, "penstock: main: run 1 started", "what the pusher sees")
    equal(daemon.wait_run(1)["outcome"], "success", "the first run")
    contains(daemon.penstock("logs", "1", "--stage", "hello").out, "hello from main")

    # Two pushes to nobody: both succeed, both are kept, in order.
    daemon.kill9()
    second, said = repository.push_only("Second")
    contains(said, "the daemon is not reachable", "what the pusher sees")
    contains(said, "penstock: 1 delivery is kept and will be sent with the next push", "what the pusher sees")
    third, said = repository.push_only("Third", "topic")
    contains(said, "penstock: 2 deliveries are kept", "what the pusher sees")
    equal(len(os.listdir(spool)), 2, "spooled deliveries")
    equal(daemon.penstock("hook", "flush", repository.bare, status=5).status, 5, "a flush to nobody")
    state = daemon.penstock("hook", "status", repository.bare, "--json", status=1).json
    equal((state["installed"], state["waiting"], state["refused"]), (True, 2, 0), "the hook's status")

    # The daemon is back; the next push takes them along. Then the 202s are "lost": the same files are sent once more.
    kept = os.path.join(dir, "kept")
    shutil.copytree(spool, kept)
    daemon.start()
    fourth, said = repository.push_only("Fourth")
    for line in ("main: run 2 started", "topic: run 3 started", "main: run 4 started"):
        contains(said, "penstock: " + line, "what the pusher sees")
    equal(os.listdir(spool), [], "spooled deliveries")
    for name in os.listdir(kept):
        shutil.copy(os.path.join(kept, name), spool)
    flushed = daemon.penstock("hook", "flush", repository.bare)
    contains(flushed.out, "main: run 2, which had started already")
    contains(flushed.out, "topic: run 3, which had started already")
    runs = wait("four finished runs", lambda: (lambda r: r if all(x["state"] == "finished" for x in r) else None)(daemon.runs()))
    equal([(run["id"], run["commit"], run["outcome"]) for run in reversed(runs)],
          [(1, commit, "success"), (2, second, "success"), (3, third, "success"), (4, fourth, "success")], "runs")

    # A wrong secret blocks nobody for ever: refused, told, and sent again when it is right.
    url = f"http://{daemon.address}/hooks/small"
    daemon.penstock("hook", "install", repository.bare, "--url", url, "--secret-stdin", input="wrong")
    fifth, said = repository.push_only("Fifth")
    contains(said, "the daemon refused this push (401: the secret is not the one", "what the pusher sees")
    equal(daemon.penstock("hook", "status", repository.bare, "--json", status=1).json["refused"], 1, "refused")
    repository.install_hook()
    contains(daemon.penstock("hook", "flush", "--refused", repository.bare).out, "penstock: main: run 5 started")
    equal(daemon.wait_run(5)["commit"], fifth, "the fifth run's commit")

    # Tags and deletions.
    repository.git("tag", "-a", "v1", "-m", "One")
    tagged = repository.git("push", "-q", "origin", "v1")
    contains(tagged.err, "penstock: tags/v1: ", "what the pusher sees")
    equal(repository.git("push", "-q", "origin", ":topic").err.count("refused"), 0, "refusals of a deletion")

    # Many at once: the spool keeps an order, and each is delivered once.
    before = len(daemon.runs())
    commits = {f"side-{i}": repository.commit(f"Side {i}") for i in range(8)}
    pushes = [subprocess.Popen(["git", "push", "-q", "origin", f"{commit}:refs/heads/{branch}"], cwd=repository.work, env=environment(),
                               stderr=subprocess.PIPE, text=True) for branch, commit in commits.items()]
    for push in pushes:
        said = push.communicate(timeout=60)[1]
        equal(push.returncode, 0, f"the exit status of a push among many\n{said}")
    equal(os.listdir(spool), [], "spooled deliveries")
    started = daemon.runs()[:-before]
    equal(sorted((run["branch"], run["commit"]) for run in started), sorted(commits.items()), "runs of many pushes at once")

    # Another hook is not overwritten unasked.
    other = os.path.join(dir, "other.git")
    command("git", "init", "-q", "--bare", other)
    with open(os.path.join(other, "hooks/post-receive"), "w") as f:
        f.write("#!/bin/sh\n")
    refused = daemon.penstock("hook", "install", other, "--url", url, "--secret-stdin", input="x", status=1)
    contains(refused.err, "is not Penstock's; --force replaces it")
    contains(daemon.penstock("hook", "install", other, "--url", url, "--secret-stdin", "--force", input="x").out, "is kept as")
    contains(daemon.penstock("hook", "status", dir, status=1).err, "is no git repository")


scenario(story)
