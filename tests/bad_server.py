"""A local server that misbehaves as real servers do, for the tests of downloads."""

import contextlib
import hashlib
import http.server
import socket

from nice_np.datasets.download import RemoteFile

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Gives the server's answers in turn, the last one repeatedly."""

    def do_GET(self):
        self.server.requests.append(self.path)
        answers = self.server.answers
        with contextlib.suppress(ConnectionError):  # a client may hang up early
            (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def log_message(self, *args):
        pass


def send(content=CONTENT, status=200, length=True, announce=None, **headers):
    def answer(handler):
        handler.send_response(status)
        if length:
            handler.send_header("Content-Length", str(len(content) if announce is None else announce))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def hang_up(handler):
    handler.connection.shutdown(socket.SHUT_RDWR)


def dripping(start):
    """After `start` one byte at a time, for longer than any deadline here."""

    def answer(handler):
        handler.wfile.write(start)
        for _ in range(300):
            handler.wfile.write(b"a")
            if handler.server.stopping.wait(0.02):
                return
        handler.server.dripped_out.set()

    return answer


OK = b"HTTP/1.1 200 OK\r\n"
drip = dripping(OK + b"Content-Length: %d\r\n\r\n" % len(CONTENT))
DRIPS = {
    "status": dripping(b"HTTP/1.1 200 "),
    "header": dripping(OK + b"X: "),
    "body": drip,
    "size of a chunk": dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n0;"),
    "trailer": dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: "),
    "body of a redirect": dripping(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 9000\r\n\r\n"),
}


def remote(*urls, content=CONTENT):
    return RemoteFile("file.gz", urls, hashlib.sha256(content).hexdigest(), len(content))
