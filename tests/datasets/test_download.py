"""fetch against a local server that misbehaves in the ways that servers do."""

import http.server
import io
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from bad_server import CONTENT, DRIPS, Handler, drip, hang_up, remote, send

from nice_np.datasets import download
from nice_np.datasets.download import fetch
from nice_np.errors import DatasetError, NiceTypeError, NiceValueError


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0.01)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.requests, server.answers, server.stopping = [], [send()], threading.Event()
        server.dripped_out = threading.Event()
        server.url = f"http://127.0.0.1:{server.server_address[1]}/file.gz"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.stopping.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def closed_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # bound but not listening: a connection is refused
        yield sock.getsockname()[1]


def fails(folder, *urls, message, **options):
    before = {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}
    with pytest.raises(DatasetError, match=message) as caught:
        fetch(remote(*urls), folder, **{"allow_http": True, **options})
    for part in (*urls, str(folder), "file.gz"):
        assert part in str(caught.value)
    after = {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}
    assert after == before  # no leftovers, existing files are untouched


def test_good(server, tmp_path):
    path = fetch(remote(server.url), tmp_path / "new" / "folder", allow_http=True)
    assert path == tmp_path / "new" / "folder" / "file.gz"
    assert path.read_bytes() == CONTENT
    assert os.listdir(path.parent) == ["file.gz"]


def test_without_content_length(server, tmp_path):
    server.answers = [send(length=False)]
    assert fetch(remote(server.url), tmp_path, allow_http=True).read_bytes() == CONTENT


def test_content_encoding_is_not_undone(server, tmp_path):
    """Some servers declare .gz as a content encoding; the checksum is of the .gz file."""
    server.answers = [send(**{"Content-Encoding": "gzip"})]
    assert fetch(remote(server.url), tmp_path, allow_http=True).read_bytes() == CONTENT


def test_second_time_uses_no_network_and_writes_nothing(server, tmp_path):
    path = fetch(remote(server.url), tmp_path, allow_http=True)
    before = path.stat()
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert fetch(remote(server.url), tmp_path) == path
    finally:
        tmp_path.chmod(stat.S_IRWXU)
    assert len(server.requests) == 1
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_progress_goes_to_stderr(server, tmp_path, capsys):
    fetch(remote(server.url), tmp_path, progress=True, allow_http=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "100%" in err
    assert "file.gz" in err


def test_404_is_not_tried_again(server, tmp_path):
    server.answers = [send(b"", 404)]
    fails(tmp_path, server.url, message="404")
    assert len(server.requests) == 1


def test_next_mirror(server, tmp_path):
    server.answers = [send(b"", 404), send()]
    urls = (server.url + "?mirror=1", server.url + "?mirror=2")
    assert fetch(remote(*urls), tmp_path, allow_http=True).read_bytes() == CONTENT
    assert server.requests == ["/file.gz?mirror=1", "/file.gz?mirror=2"]


@pytest.mark.parametrize(
    "bad",
    [
        send(b"", 500),
        send(b"", 503),
        hang_up,
        send(CONTENT[:1000], announce=len(CONTENT)),
        send(CONTENT[:1000], length=False),
    ],
    ids=["500", "503", "no answer", "cut body", "cut body of unknown length"],
)
def test_passing_trouble_is_tried_again(server, tmp_path, bad):
    server.answers = [bad, send()]
    assert fetch(remote(server.url), tmp_path, allow_http=True).read_bytes() == CONTENT
    assert len(server.requests) == 2

    (tmp_path / "file.gz").unlink()
    server.requests.clear()
    server.answers = [bad]
    fails(tmp_path, server.url, message="tried 3 times")
    assert len(server.requests) == 3


def test_wrong_content(server, tmp_path):
    server.answers = [send(CONTENT[::-1])]
    fails(tmp_path, server.url, message="SHA-256")
    assert len(server.requests) == 1


def test_failure_leaves_the_file_that_was_there(server, tmp_path):
    (tmp_path / "file.gz").write_bytes(b"an older version")
    server.answers = [send(CONTENT[::-1])]
    fails(tmp_path, server.url, message="SHA-256")
    server.answers = [send()]
    assert fetch(remote(server.url), tmp_path, allow_http=True).read_bytes() == CONTENT


def test_longer_than_it_should_be(server, tmp_path):
    server.answers = [send(CONTENT * 50)]
    fails(tmp_path, server.url, message=f"longer than {len(CONTENT)} bytes")


@pytest.mark.parametrize("answer", DRIPS.values(), ids=DRIPS)
def test_deadline_holds_against_a_dripping_server(server, tmp_path, answer):
    server.answers = [answer]
    fails(tmp_path, server.url, message="out of time after", deadline=0.5)
    assert not server.dripped_out.is_set()  # the client gave up first


def test_deadline_holds_against_a_silent_name_server(tmp_path, monkeypatch):
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **_: answered.wait(20) and [])
    fails(tmp_path, "http://localhost/file.gz", message="out of time after 0 of", deadline=0.3)
    answered.set()


def test_a_process_ends_while_the_server_still_drips(server, tmp_path):
    server.answers = [DRIPS["header"]]
    code = (
        "import sys\nfrom bad_server import remote\nfrom nice_np.datasets.download import fetch\n"
        "try:\n    fetch(remote(sys.argv[1]), sys.argv[2], allow_http=True, deadline=0.5)\n"
        "except OSError as error:\n    print('out of time' in str(error))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", code, server.url, str(tmp_path)],
        capture_output=True, text=True, check=False, env=environment, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
    assert not server.dripped_out.is_set()
    assert os.listdir(tmp_path) == []


def test_deadline_is_for_all_mirrors_together(server, tmp_path):
    server.answers = [drip]
    fails(tmp_path, server.url, server.url, message="out of time after .*out of time", deadline=0.5)
    assert len(server.requests) == 1


def test_silent_server(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.5)
    server.answers = [lambda handler: handler.server.stopping.wait(20)]
    fails(tmp_path, server.url, message="ReadTimeout")


def test_no_network(tmp_path, closed_port):
    fails(tmp_path / "cache", f"http://127.0.0.1:{closed_port}/a", message="no connection")


def test_no_connection_is_not_tried_again(tmp_path, closed_port, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("waited for a second try"))
    fails(tmp_path, f"http://127.0.0.1:{closed_port}/a", message="no connection")


def test_http_is_refused(server, tmp_path):
    fails(tmp_path, server.url, message="not https", allow_http=False)
    fails(tmp_path, "file:///etc/hostname", message="not https")
    assert server.requests == []


def test_redirect_is_followed(server, tmp_path):
    server.answers = [send(b"", 302, Location="/elsewhere"), send()]
    assert fetch(remote(server.url), tmp_path, allow_http=True).read_bytes() == CONTENT
    assert server.requests == ["/file.gz", "/elsewhere"]


def test_endless_redirects(server, tmp_path):
    server.answers = [send(b"", 302, Location="/again")]
    fails(tmp_path, server.url, message="TooManyRedirects")


@pytest.mark.parametrize("allow_http", [False, True])
def test_redirect_from_https_to_http_is_refused(server, tmp_path, monkeypatch, allow_http):
    """An adapter plays the https server; the http server it redirects to is real and must not be contacted."""
    import requests

    def answer(self, request, **kwargs):
        assert request.url.startswith("https:"), "the redirect was followed"
        response = requests.Response()
        response.status_code, response.url, response.request = 302, request.url, request
        response.headers["Location"] = server.url
        response.raw = io.BytesIO()
        return response

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", answer)
    fails(tmp_path, "https://example.org/a", message="redirects from https to http", allow_http=allow_http)
    assert server.requests == []


def test_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DatasetError, match=r"cannot store file\.gz in .*file"):
        fetch(remote(server.url), tmp_path / "file" / "cache", allow_http=True)


def test_full_disk(server, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download._Transfer, "_copy", full)
    with pytest.raises(DatasetError, match=r"cannot write .*file\.gz: No space left"):
        fetch(remote(server.url), tmp_path, allow_http=True)
    assert os.listdir(tmp_path) == []


def test_two_at_once(server, tmp_path):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(fetch(remote(server.url), tmp_path, allow_http=True)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [tmp_path / "file.gz"] * 4
    assert os.listdir(tmp_path) == ["file.gz"]
    assert results[0].read_bytes() == CONTENT


def test_bad_options(tmp_path):
    with pytest.raises(NiceValueError, match="deadline"):
        fetch(remote("https://example.org"), tmp_path, deadline=0)
    with pytest.raises(NiceValueError, match="attempts"):
        fetch(remote("https://example.org"), tmp_path, attempts=0)
    with pytest.raises(NiceTypeError, match="fetch: folder must be"):
        fetch(remote("https://example.org"), 5)


def test_the_log_says_where_from_and_how_often(server, tmp_path, caplog, capfd):
    caplog.set_level("INFO", "nice_np")
    server.answers = [send(status=503), send()]
    bad = server.url.replace("file", "none")
    fetch(remote("ftp://nowhere/file.gz", server.url), tmp_path, allow_http=True)
    fetch(remote(bad, server.url), tmp_path, allow_http=True)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "ftp://nowhere/file.gz: refused, the address is not https; trying the next mirror"),
        ("INFO", f"downloading {server.url} (attempt 1)"),
        ("WARNING", f"{server.url}: the server answered 503 Service Unavailable; trying again in 0.01 s"),
        ("INFO", f"downloading {server.url} (attempt 2)"),
        ("INFO", f"file.gz is in {tmp_path}, SHA-256 verified"),
        ("INFO", f"file.gz is in {tmp_path}, SHA-256 verified"),
    ]
    assert capfd.readouterr().err == ""


def test_no_certificates_are_no_fault_of_the_disk(tmp_path, monkeypatch):
    for name in ("https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    fails(tmp_path, "https://127.0.0.1:1/a", message=r"cannot download .*TLS CA certificate bundle")


def test_a_malformed_address_is_no_wrong_checksum(server, tmp_path):
    fails(tmp_path, "https://[bad/", message="malformed")
    server.answers = [send(b"", 302, Location="https://[bad/")]
    fails(tmp_path, server.url, message=r"file\.gz: (?!the content has another)")


KILLED = """
import sys
from nice_np.datasets.download import RemoteFile, fetch
fetch(RemoteFile("file.gz", (sys.argv[1],), "0" * 64, 256_000), sys.argv[2], allow_http=True)
"""


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="files without a name are Linux's")
def test_a_killed_download_leaves_nothing(server, tmp_path):
    server.answers = [drip]
    with subprocess.Popen([sys.executable, "-c", KILLED, server.url, str(tmp_path)]) as child:
        while not server.requests:
            assert child.poll() is None
            time.sleep(0.01)
        time.sleep(0.2)  # some bytes arrive
        child.kill()
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX links and pipes")
@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_what_is_no_file_is_not_replaced_by_a_download(kind, server, tmp_path):
    path, target = tmp_path / "file.gz", tmp_path / "target"
    target.write_text("mine")
    {"pipe": lambda: os.mkfifo(path), "link": lambda: path.symlink_to("target"), "folder": path.mkdir}[kind]()
    with pytest.raises(DatasetError, match=r"cannot write .*file\.gz: it is a "):
        fetch(remote(server.url), tmp_path, allow_http=True)
    assert target.read_text() == "mine"
    assert not stat.S_ISREG(path.lstat().st_mode)
