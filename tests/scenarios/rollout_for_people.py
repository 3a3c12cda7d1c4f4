"""A rollout is watched, explained, measured and replayed: what people and programs see is what was decided."""
import json
import shutil
import subprocess
import urllib.parse
import urllib.request

from harness import BETTER, Model, check, contains, environment, equal, free_port, scenario, wait


def families(text):
    """{sample with labels: value} of an OpenMetrics page whose families stand together."""
    samples, seen, family = {}, set(), None
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            family = line.split()[2]
            check(family not in seen, f"{family} stands in one place")
            seen.add(family)
        elif not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            check(name.startswith(family), f"{name} stands under its family, not under {family}")
            samples[name] = float(value)
    equal(text.splitlines()[-1], "# EOF", "the last line")
    return samples


def scraped_by_prometheus(dir, address):
    """A real Prometheus reads the page as OpenMetrics."""
    port, config = free_port(), f"{dir}/prometheus.yml"
    with open(config, "w") as f:
        f.write(f"global: {{scrape_interval: 500ms}}\nscrape_configs: [{{job_name: penstock, static_configs: [{{targets: ['{address}']}}]}}]\n")
    prometheus = subprocess.Popen(["prometheus", "--config.file", config, "--storage.tsdb.path", f"{dir}/tsdb",
                                   "--web.listen-address", f"127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def query(what):
        url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(what)}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)["data"]["result"]
        except OSError:
            return []
    try:
        up = wait("the scrape", lambda: query("up == 1"), 60)
        equal(up[0]["value"][1], "1", "up")
        bound = query('penstock_rollout_metric_bound{target="prod",metric="error_rate"}')
        equal([round(float(b["value"][1]), 6) for b in bound], [0.05], "the bound, as Prometheus read it")
        check(query('penstock_rollout_verdict_looks_total{metric="error_rate",verdict="fine"} > 0'), "looks are counted")
    finally:
        prometheus.terminate()
        prometheus.wait()


def story(dir, penstock):
    model = Model(dir, penstock, rate=300)
    daemon = model.daemon
    model.release("A first model")
    model.start_load()
    model.params(features=BETTER)
    run = model.push("A better model")
    model.until_stepping(run)
    watch = [subprocess.Popen([daemon.binary, "rollout", "watch", "prod", *more], stdout=subprocess.PIPE, text=True,
                              env=environment(PENSTOCK_SOCKET=daemon.socket)) for more in ([], ["--json"])]

    def judged():
        shown = daemon.penstock("rollout", "show").out
        return shown if "error_rate" in shown else None
    page = wait("evidence", judged)
    for part in ("rollout 2 to prod", "  stable    ", "  candidate ", "error_rate", "margin 5 points", "worse ", "fine "):
        contains(page, part, "the page")
    told = daemon.penstock("explain", "prod").out
    for part in ("decision ", "waits for", "policies ", "a step "):
        contains(told, part, "the explanation")

    equal(daemon.wait_run(run)["outcome"], "success", "the run")
    lines, stream = [w.communicate(timeout=120)[0] for w in watch]
    equal([w.returncode for w in watch], [0, 0], "watching ends with the rollout")
    contains(lines, "  promoted  ", "the lines")
    changes = [json.loads(line) for line in stream.splitlines()]
    equal(changes[-1]["rollout"]["state"], "promoted", "the last object")
    check(all(a["at_ms"] <= b["at_ms"] for a, b in zip(changes, changes[1:])), "in order")
    ids = [event["id"] for change in changes for event in change["events"]]
    check(ids == sorted(set(ids)) and len(ids) > 3, f"every event once: {ids}")

    contains(daemon.penstock("explain", "rollout/2").out, "at its end: fine", "the explanation of what has ended")
    contains(daemon.penstock("replay", "1").out, " agreed; 0 blocks", "the replay of a first release")
    saved = f"{dir}/saved.json"
    replayed = daemon.penstock("replay", "prod", "--save", saved, "--json").json
    check(replayed["agree"] and replayed["decisions"] == replayed["agreed"] > 3 and replayed["blocks"] > 0, f"the replay agrees: {replayed}")
    daemon.penstock("explain", "9", status=1)
    daemon.penstock("promote", "--now", "prod", status=2)

    samples = families(body if isinstance(body := daemon.http("GET", "/metrics").body, str) else body.decode())
    equal(samples['penstock_rollout_number{target="prod"}'], 2, "the newest rollout")
    equal(samples['penstock_rollout_under_way{target="prod"}'], 0, "it has ended")
    check(abs(samples['penstock_rollout_metric_bound{target="prod",metric="error_rate"}'] - 0.05) < 1e-9, "the bound")
    equal(samples['penstock_rollout_metric_verdict{target="prod",metric="error_rate",verdict="fine"}'], 1, "the verdict")
    if shutil.which("prometheus"):
        scraped_by_prometheus(dir, daemon.address)

    model.end_load()
    equal(daemon.penstock("replay", saved, "--json").json, replayed, "the same from the file")


scenario(story)
