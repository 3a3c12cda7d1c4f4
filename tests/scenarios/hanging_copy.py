"""A copy that takes connections and never answers is restarted after health.restart_after; one that crashes again and again is told."""
from harness import check, contains, equal, scenario, wait
from puppet import Puppet


def story(dir, penstock):
    service = Puppet(dir, penstock, {"replicas": 2, "health": {"within": "20s", "restart_after": "2s"}})
    daemon = service.daemon
    first = service.first(content=1)
    before = {c["id"]: c["start"] for c in service.copies()}
    equal(len(before), 2, "copies")
    hung = service.copies()[0]
    # Nobody has a request in hand when it begins to hang; from then on clients are with the other copy.
    service.knob(hung, "hang")
    wait("it to be seen as down", lambda: not service.server(hung)["up"])
    service.start_load()
    wait("its restart", lambda: next((c for c in service.copies() if c["id"] == hung["id"] and c["start"] != hung["start"]), None), 30)
    wait("both to be up", lambda: daemon.target()["actual"]["arms"][0]["ready"] == 2)
    contains(daemon.log_text(), "runs but has not answered its health check (GET /healthz) for 2 s: it is restarted", "the log")
    event = wait("its being told", lambda: daemon.events("target/prod", "target.repaired"))[0]
    contains(event["data"]["found"], "did not answer its health check", "what was found")
    after = {c["id"]: c["start"] for c in service.copies()}
    equal([i for i in before if before[i] == after[i]], [i for i in before if i != hung["id"]], "the copies that were left alone")

    # A release whose copies crash does not get any traffic, and its last line is in the reason.
    run = service.push_model(crash=True)
    shown = daemon.wait_run(run)
    equal(shown["outcome"], "rolled_back", f"the run ({shown['reason']})")
    for word in ("ended 3 times right after its start", "exit status 3", "no such model: weights.bin"):
        contains(shown["reason"], word, "the reason")
    equal(daemon.live(), first, "what is live")
    service.replays(shown["rollout"]["id"])
    service.sent_more(50)
    check(service.end_load() == 0, "requests failed")


scenario(story)
