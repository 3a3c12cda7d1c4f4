"""The first push of a model: validated, trained, scored, gated, built, live."""
import json
import http.client

from harness import Model, check, equal, scenario


def story(dir, penstock):
    model = Model(dir, penstock)
    version = model.release("A first model")
    check(version, "something is live")
    run = model.daemon.show(1)
    equal([(s["name"], s["outcome"]) for s in run["stages"]],
          [(name, "success") for name in ("data", "unit", "train", "score", "quality", "image", "release")], "stages")
    equal(model.daemon.ask("releases")["releases"][0]["version"], version, "the newest release")
    host, port = model.frontend.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request("GET", "/healthz")
    equal(connection.getresponse().status, 200, "the model's health through HAProxy")
    connection.close()
    model.start_load()
    model.sent_more(200)
    model.end_load()
    equal(list(json.load(open(model.stats))["ok"]), [version], "releases that answered")


scenario(story)
