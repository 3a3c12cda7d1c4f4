"""A model server that shows what Penstock's built-in metrics look for; the example of docs/metric-sources.md. Usage: model_server.py PORT"""
import bisect
import http.server
import sys
import time
import urllib.parse

EDGES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
classes, scores, labeled, correct, started = {}, [0] * (len(EDGES) + 1), 0, 0, time.time()


def observe(label, score):
    classes[label] = classes.get(label, 0) + 1
    scores[bisect.bisect_left(EDGES, score)] += 1


def metrics():
    yield "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %.3f" % started
    yield "# TYPE penstock_predictions_total counter"
    for label, n in sorted(classes.items()):
        yield 'penstock_predictions_total{class="%s"} %d' % (label, n)
    yield "# TYPE penstock_score histogram"
    seen = 0
    for edge, n in zip(EDGES + ["+Inf"], scores):
        seen += n
        yield 'penstock_score_bucket{le="%s"} %d' % (edge, seen)
    yield "penstock_score_count %d" % seen
    yield "# TYPE penstock_labeled_total counter\npenstock_labeled_total %d" % labeled
    yield "# TYPE penstock_labeled_correct_total counter\npenstock_labeled_correct_total %d" % correct


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global labeled, correct
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        body = "ok\n"
        if url.path == "/metrics":
            body = "\n".join(metrics()) + "\n"
        elif url.path == "/predict":
            for _ in range(int(query.get("n", 1))):
                observe(query["class"], float(query["score"]))
        elif url.path == "/label":
            labeled += int(query["n"])
            correct += int(query["correct"])
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
