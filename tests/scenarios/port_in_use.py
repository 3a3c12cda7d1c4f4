"""Addresses and folders that are taken: said clearly, with what to do, and the one who has them goes on undisturbed."""
import os
import socket

from harness import Daemon, contains, equal, scenario


def story(dir, penstock):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        daemon = Daemon(dir, penstock, listen=address)
        process = daemon.spawn()
        equal(process.wait(20), 5, f"the exit status with a taken port\n{daemon.log_text()}")
        contains(daemon.log_text(), address, "what is said")
    daemon.start()

    # The same state and socket once more.
    twin = Daemon.__new__(Daemon)
    twin.__dict__.update(daemon.__dict__, log=os.path.join(dir, "twin.log"), process=None)
    listen = open(os.path.join(dir, "state/listen")).read()
    process = twin.spawn()
    equal(process.wait(20), 5, f"the exit status of a second daemon\n{twin.log_text()}")
    contains(twin.log_text(), os.path.join(dir, "state"), "what the second daemon says")
    with open(os.path.join(dir, "state/listen"), "w") as f:
        f.write(listen)
    equal(daemon.ask("ps"), {"runs": []}, "the first daemon")


scenario(story)
