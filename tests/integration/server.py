"""A model server for tests: answers with its version, behaves as it is told. $PORT says where to listen."""
import http.server
import os
import socketserver
import sys
import threading
import time

here = os.path.dirname(os.path.abspath(__file__))
version, behaviour = open(os.path.join(here, "behaviour")).read().split()
if behaviour == "crash":
    print("cannot load the model: bad magic", flush=True)
    sys.exit(3)
if behaviour == "stubborn":
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
count = 0
hung = False


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        global count, hung
        status = 200
        if self.path == "/hang":
            hung = True
        elif hung:
            print("waiting for a lock", flush=True)
            threading.Event().wait()
        if self.path == "/healthz":
            status = 503 if behaviour == "sick" else 200
        elif self.path == "/missing":
            status = 404
        else:
            count += 1
            if behaviour == "slow":
                time.sleep(0.3)
            if behaviour == "fail" and count % 10 == 0:
                status = 500
        body = version.encode()
        head = "HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
        self.wfile.write(head.encode() + body)

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128


print("listening on", os.environ["PORT"], "as", os.environ["PENSTOCK_RELEASE"], flush=True)
Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
