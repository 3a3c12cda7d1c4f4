"""Branch names and commit messages are data: they reach a stage as environment, and nothing else at all."""
import os
import pty

from harness import Daemon, Repository, check, contains, equal, scenario

PIPELINE = """version: 1
name: hostile
on:
  push: {branches: ["**"]}
stages:
  show:
    run: |
      printf '<%s>' "$CI_COMMIT_MESSAGE" > message.txt
      printf '<%s>' "$CI_COMMIT_BRANCH" > branch.txt
      cat message.txt branch.txt
      if test -e owned; then echo OWNED; exit 1; fi
    outputs: [message.txt]
"""


def story(dir, penstock):
    daemon = Daemon(dir, penstock, ["hostile"]).start()
    repository = Repository(daemon, "hostile", {".penstock.yml": PIPELINE})
    trap = os.path.join(dir, "owned")
    message = f"""It's "fine" $(touch owned {trap}) `touch owned {trap}`; touch owned {trap} | tee owned & %s%n \\ ${{CI}} ${{{{ git.sha }}}} '"""
    run = repository.push(message)
    shown = daemon.wait_run(run)
    equal(shown["outcome"], "success", f"the run ({shown['reason']})")
    contains(daemon.penstock("logs", str(run), "--stage", "show").out, f"<{message}", "the stage's log")
    equal(next(r for r in daemon.runs() if r["id"] == run)["message"].strip(), message, "the message as listed")

    branch = "a;touch$IFS'owned'&&$(id)|x"
    run = repository.push("A branch for a shell", branch)
    equal(daemon.wait_run(run)["outcome"], "success", "the run of that branch")
    contains(daemon.penstock("logs", str(run), "--stage", "show").out, f"<{branch}>", "the stage's log")

    # git itself lets a branch be called like an option; Penstock does not take it, and says so to the pusher.
    before = len(daemon.runs())
    _, said = repository.push_only("An option for a branch", "--upload-pack=x")
    contains(said, "the daemon refused this push (400: ", "what the pusher sees")
    equal(len(daemon.runs()), before, "runs")
    commit = repository.commit("By HTTP")
    for ref in ("refs/heads/--upload-pack=x", "--upload-pack=x", "refs/heads/x/../../y", "refs/heads/a b", "ext::sh -c x", "refs/heads/x:y"):
        answer = daemon.http_post_signed("hostile", {"ref": ref, "before": "0" * 40, "after": commit, "author": "", "message": ""})
        equal(answer.status, 400, f"the ref {ref!r}")
    for after in ("--exec=x", "HEAD", "../x", commit[:39], commit.upper() if commit.upper() != commit else "G" * 40):
        answer = daemon.http_post_signed("hostile", {"ref": "refs/heads/main", "before": "0" * 40, "after": after, "author": "", "message": ""})
        equal(answer.status, 400, f"the commit {after!r}")
    equal(len(daemon.runs()), before, "runs")
    check(not os.path.exists(trap), "a commit message was run by a shell")
    # Terminal escapes in a message never reach the terminal.
    run = repository.push("red \x1b[31m alert \x07")
    daemon.wait_run(run)
    escapes_in_a_log(daemon, repository)
    check("\x1b" not in daemon.penstock("ps").out + daemon.penstock("show", str(run), status=None).out, "an escape reached the terminal")



def escapes_in_a_log(daemon, repository):
    """On a terminal a log may colour its lines, and nothing else: neither by ESC [ nor by U+009B, which is the same."""
    repository.write(".penstock.yml", PIPELINE.replace("cat message.txt", "printf 'a\\033[2Jb\\302\\2332Jc\\302\\251\\n'; cat message.txt"))
    run = repository.push("A log for a terminal")
    daemon.wait_run(run)
    child, terminal = pty.fork()
    if child == 0:
        os.execv(daemon.binary, [daemon.binary, "logs", "--socket", daemon.socket, str(run)])
    shown = b""
    try:
        while more := os.read(terminal, 65536):
            shown += more
    except OSError:  # the other side is closed
        pass
    os.waitpid(child, 0)
    os.close(terminal)
    contains(shown.decode(), "ab?2Jc\u00a9", "the log on a terminal")


scenario(story)
