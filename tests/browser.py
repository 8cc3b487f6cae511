"""Pages of a folder, opened in Chromium without a window."""

import contextlib
import os
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


class Watched(SimpleHTTPRequestHandler):
    """Remembers what was asked for and is not there: Chromium's log does not tell."""

    def __init__(self, *args, missing, **settings):
        self.missing = missing
        super().__init__(*args, **settings)

    def send_error(self, *args, **settings):
        if self.path != "/favicon.ico":  # which browsers ask for by themselves
            self.missing.append(self.path)
        super().send_error(*args, **settings)

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def served(folder):
    """The address of a server of this folder, and the list of what was asked for in vain."""
    missing = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Watched, directory=str(folder), missing=missing))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", missing
    finally:
        server.shutdown()
        server.server_close()


def opened(address, profile, *options):
    """The page as it is after its scripts ran, and what Chromium's console says."""
    options = ["--headless", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=10000", *options]
    options += [f"--user-data-dir={profile}"] + ["--no-sandbox"] * (hasattr(os, "geteuid") and os.geteuid() == 0)
    command = [CHROMIUM, *options, "--dump-dom", address]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    return run.stdout, [line for line in run.stderr.splitlines() if ":CONSOLE" in line]
