"""Servers on this machine that cut, drip, lie, redirect, hang and recover, in any order; and no network at all."""

import contextlib
import gzip
import hashlib
import http.server
import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time

import numpy as np
import pytest
from bad_server import CONTENT, DRIPS, SHA256, Handler, drip, hang_up, remote, send
from faults import linux, posix, run, started, tally, times, without_privileges

from nice_np.datasets import download
from nice_np.datasets.download import fetch
from nice_np.errors import DatasetError


def reset(handler):
    """Half of the body, then the connection is reset (RST), not closed."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(CONTENT)))
    handler.end_headers()
    handler.wfile.write(CONTENT[: len(CONTENT) // 2])
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def raw(content):
    def answer(handler):
        handler.wfile.write(content)
        hang_up(handler)

    return answer


def hang(handler):
    """Nothing at all, until the test is over."""
    handler.server.stopping.wait(20)


def bad_chunks(handler):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw(head + b"10000\r\n" + CONTENT[:1000] + b"\r\nzz\r\n")(handler)


BAD = {
    "500": send(b"", 500),
    "503 with a body": send(CONTENT, 503),
    "404": send(b"no", 404),
    "204": send(b"", 204, length=False),
    "206": send(CONTENT[:1000], 206),
    "304": send(b"", 304, length=False),
    "no answer": hang_up,
    "torn down": reset,
    "cut": send(CONTENT[:1000], announce=len(CONTENT)),
    "cut without a length": send(CONTENT[:-1], length=False),
    "a short length": send(CONTENT, announce=1000),
    "a negative length": send(CONTENT, announce=-5),
    "a length of letters": send(CONTENT, announce="many"),
    "a long length": send(CONTENT, announce=10**15),
    "empty": send(b""),
    "too long": send(CONTENT * 3),
    "endless": send(CONTENT * 50, length=False),
    "other content": send(CONTENT[::-1]),
    "one byte off": send(CONTENT[:-1] + b"\0"),
    "gzipped": send(gzip.compress(CONTENT)),
    "a page": send(b"<html>please log in</html>", **{"Content-Type": "text/html"}),
    "no HTTP": raw(b"\0\xff\x13 hello\r\n\r\n"),
    "an endless header": raw(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000),
    "bad chunks": bad_chunks,
    "redirect to itself": send(b"", 302, Location="/again"),
    "redirect to nowhere": send(b"", 302, Location="http://127.0.0.1:1/"),
    "redirect to a file": send(b"", 302, Location="file:///etc/hostname"),
    "redirect to nonsense": send(b"", 302, Location="http://[::"),
    **{f"drip in the {name}": answer for name, answer in DRIPS.items()},
    "hang": hang,
}
GOOD = {
    "good": send(),
    "good without a length": send(length=False),
    "good after a redirect": send(b"", 302, Location="/elsewhere"),
}


@contextlib.contextmanager
def serving(answers=(), context=None):
    """A server; with `context`, under TLS."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.requests, server.answers, server.stopping = [], list(answers), threading.Event()
        server.dripped_out = threading.Event()
        server.url = f"http{'s' * (context is not None)}://127.0.0.1:{server.server_address[1]}/file.gz"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.stopping.set()
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Short pauses, a short silence, and no proxy."""
    monkeypatch.setattr(download, "PAUSE", 0.01)
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def fetched(server, folder, old, *, deadline=1.0):
    """Whether the right file arrived; in any case nothing else may be in the folder, and it must not take long."""
    before = time.monotonic()
    urls = (server.url, server.url + "?mirror")
    try:
        path = fetch(remote(*urls), folder, allow_http=True, deadline=deadline)
        came, message = True, ""
    except DatasetError as error:
        came, message = False, str(error)
    if came:
        assert path.read_bytes() == CONTENT
    else:
        for part in (*urls, str(folder), "file.gz"):
            assert part in message
        assert (folder / "file.gz").read_bytes() == old if old else not (folder / "file.gz").exists()
    assert set(os.listdir(folder)) <= {"file.gz"}
    assert time.monotonic() - before < deadline + 2
    return came


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD)
def test_a_server_that_never_gets_better(name, tmp_path):
    """A wrong file is not kept; the previous file is untouched."""
    for old in (b"", b"an older version"):
        if old:
            (tmp_path / "file.gz").write_bytes(old)
        with serving([BAD[name]]) as server:
            came = fetched(server, tmp_path, old)
        assert not came or name in ("a short length", "a negative length", "a length of letters", "a long length")
        (tmp_path / "file.gz").unlink(missing_ok=True)
    tally("misbehaving answers of servers", 2)


def misbehave(seed, folder):
    """A random sequence of answers, the last one good or bad."""
    rng = np.random.default_rng(seed)
    names = [str(name) for name in rng.choice(list(BAD), rng.integers(0, 4))]
    last = str(rng.choice([*GOOD, *GOOD, *BAD]))
    answers = [*(BAD[name] for name in names), {**GOOD, **BAD}[last]]
    if last == "good after a redirect":
        answers.append(send())
    with serving(answers) as server:
        came = fetched(server, folder, b"", deadline=2.0)
    shutil.rmtree(folder, ignore_errors=True)
    assert came or names or last in BAD, "a good server was refused"
    return len(names) + 1


@pytest.mark.slow
def test_servers_that_misbehave_in_any_order(tmp_path):
    tally("misbehaving answers of servers", sum(misbehave(seed, tmp_path / "cache") for seed in range(times(30))))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl, to make a certificate")
def test_a_redirect_from_https_to_http_is_refused(tmp_path, monkeypatch):
    """With a real TLS server; to another https address a redirect is followed."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*words.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving([send()]) as plain, serving([send(b"", 302, Location=plain.url)], context) as server:
        with pytest.raises(DatasetError, match="no connection"):
            fetch(remote(server.url), tmp_path / "cache")  # the certificate is not trusted yet
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        for allow_http in (False, True):
            with pytest.raises(DatasetError, match="refused, the server redirects from https to http"):
                fetch(remote(server.url), tmp_path / "cache", allow_http=allow_http)
        assert plain.requests == []
        server.answers = [send(b"", 302, Location="/elsewhere"), send()]
        assert fetch(remote(server.url), tmp_path / "cache").read_bytes() == CONTENT
    assert os.listdir(tmp_path / "cache") == ["file.gz"]


FETCH = """
import sys
from nice_np.datasets.download import RemoteFile, fetch
url, folder, sha256, size, http = sys.argv[1:]
print(fetch(RemoteFile("file.gz", (url,), sha256, int(size)), folder, allow_http=http == "http"))
"""


@posix
@pytest.mark.slow
def test_several_processes_at_once(tmp_path):
    words = [tmp_path, SHA256, len(CONTENT), "http"]
    for count in (2, 4):
        with serving([send()]) as server, contextlib.ExitStack() as stack:
            children = [stack.enter_context(started(server.url, *words, code=FETCH)) for _ in range(count)]
            for child in children:
                out, err = child.communicate(timeout=60)
                assert (child.returncode, out) == (0, f"{tmp_path / 'file.gz'}\n"), err
        assert os.listdir(tmp_path) == ["file.gz"]
        assert hashlib.sha256((tmp_path / "file.gz").read_bytes()).hexdigest() == SHA256
        (tmp_path / "file.gz").unlink()
    tally("processes that download one file at once", 6)


@posix
@pytest.mark.slow
def test_a_download_that_is_killed(tmp_path):
    """A partial file is never used, and the next download succeeds."""
    (tmp_path / "file.gz").write_bytes(b"an older version")
    for _ in range(times(2)):
        with (
            serving([drip]) as server,
            started(server.url, tmp_path, SHA256, len(CONTENT), "http", code=FETCH) as child,
        ):
            deadline = time.monotonic() + 30
            while not server.requests and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.1)
            child.kill()
        assert (tmp_path / "file.gz").read_bytes() == b"an older version"
        tally("kills of a download", 1)
    with serving([send()]) as server:
        assert fetch(remote(server.url), tmp_path, allow_http=True).read_bytes() == CONTENT


@linux
def test_a_valid_cache_that_is_read_only_works_without_network(tmp_path):
    """By a user who may not write there, from an address that does not answer; an empty one fails at once."""
    (tmp_path / "file.gz").write_bytes(CONTENT)
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder in (tmp_path, empty):
        folder.chmod(0o555)
    settings = {"code": FETCH, "preexec_fn": without_privileges}
    child = run("https://127.0.0.1:1/f", tmp_path, SHA256, len(CONTENT), "https", **settings)
    assert child.stdout == f"{tmp_path / 'file.gz'}\n", child.stderr
    before = time.monotonic()
    child = run("https://127.0.0.1:1/f", empty, SHA256, len(CONTENT), "https", **settings)
    assert time.monotonic() - before < 10
    assert child.returncode == 1
    last = child.stderr.splitlines()[-1]
    assert last.startswith("nice_np.errors.DatasetError: ")
    for part in ("file.gz", str(empty)):
        assert part in last
    empty.chmod(0o755)
    child = run("https://127.0.0.1:1/f", empty, SHA256, len(CONTENT), "https", **settings)
    last = child.stderr.splitlines()[-1]
    for part in ("https://127.0.0.1:1/f", str(empty), "no connection"):
        assert part in last
    assert os.listdir(empty) == []
