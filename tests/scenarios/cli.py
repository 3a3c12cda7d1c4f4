"""The command line: every command explains itself, and says by its exit status what was wrong."""
import re

from harness import Daemon, command, check, contains, equal, scenario


def story(dir, penstock):
    listed = command(penstock, "help").out
    names = re.findall(r"^  ([a-z]+) ", listed, re.M)
    check({"serve", "lint", "run", "ps", "show", "logs", "cancel", "retry", "releases", "targets", "rollouts", "promote", "rollback", "pause", "resume",
           "hook", "secret", "down", "version", "score", "gate", "build"} <= set(names), f"commands in help: {names}")
    for name in names:
        help_ = command(penstock, name, "--help")
        contains(help_.out.lower(), "usage: penstock " + name, f"{name} --help")
        wrong = command(penstock, name, "--no-such-option", status=2)
        check(wrong.err.strip(), f"{name} --no-such-option says nothing")
        check("Traceback" not in wrong.err and "Sanitizer" not in wrong.err, wrong)
    unknown = command(penstock, "shwo", status=2)
    contains(unknown.err, "show", "the suggestion")
    contains(command(penstock, "--version").out, "penstock 0.2.0")

    # Nobody there: 5, and what was tried.
    nobody = dir + "/nobody.sock"
    for args in (["ps"], ["show", "1"], ["logs", "1"], ["cancel", "1"], ["retry", "1"], ["releases"], ["targets"], ["rollouts"], ["promote", "prod"],
                 ["rollback", "prod"], ["pause", "prod"], ["resume", "prod"], ["secret", "list"]):
        contains(command(penstock, *args, "--socket", nobody, status=5).err, nobody, " ".join(args))

    daemon = Daemon(dir, penstock).start()
    equal(daemon.ask("ps"), {"runs": []}, "ps")
    equal(daemon.ask("targets"), {"targets": []}, "targets")
    equal(daemon.ask("rollouts"), {"rollouts": []}, "rollouts")
    equal(daemon.ask("releases"), {"releases": []}, "releases")
    contains(daemon.penstock("show", "7", status=1).err, "7", "an unknown run")
    contains(daemon.penstock("promote", "prdo", status=1).err, "prdo", "an unknown target")
    for bad in ("x", "-1", "0x1", "99999999999999999999"):
        check(daemon.penstock("show", "--", bad, status=None).status in (1, 2), f"show {bad}")
    daemon.penstock("secret", "set", "token", input="a-long-enough-value")
    contains(daemon.penstock("secret", "list").out, "token")
    check("a-long-enough-value" not in daemon.penstock("secret", "list", "--json").out, "a secret's value was told")
    daemon.penstock("secret", "remove", "token")
    check("token" not in daemon.penstock("secret", "list").out, "a removed secret is listed")


scenario(story)
