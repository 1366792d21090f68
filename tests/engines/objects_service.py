"""A service that gives the answers no server at hand gives: 409, 503, and yes to everything."""

import re
import threading
from contextlib import suppress
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


class Service:
    """Objects in memory; each status in `answers` is given to one PUT, which then does nothing.

    It keeps the conditions in `keeps`, and no others. What stands in `refused` under a verb, or
    under LIST, is the answer to every such request: a status, and the code in its body. A listing
    begins at the first, as on some services, from wherever it was asked for.
    """

    def __init__(self, *keeps: str) -> None:
        self.keeps = keeps
        self.answers: list[int] = []
        self.refused: dict[str, tuple[int, str]] = {}
        self.puts = 0
        self.objects: dict[str, bytes] = {}
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                name = unquote(urlsplit(self.path).path).partition("/")[2].partition("/")[2]
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                verb = "LIST" if "list-type" in self.path else self.command
                with service.guard:
                    status, answer, tag = service.answer(
                        verb, name, body, self.headers, urlsplit(self.path).query
                    )
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.send_header("Last-Modified", "Mon, 23 Nov 2026 08:00:00 GMT")
                if tag:
                    self.send_header("ETag", tag)
                if status == 206:
                    self.send_header("Content-Range", f"bytes 0-{len(answer) - 1}/{len(answer)}")
                with suppress(ConnectionError):  # nobody waits for it any more
                    self.end_headers()
                    self.wfile.write(answer)

            do_GET = do_PUT = do_POST = do_DELETE = handle_one

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.guard = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "Service":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        port = self._server.server_address[1]
        return f"s3://bucket?endpoint=http://127.0.0.1:{port}&region=us-east-1"

    def answer(
        self, verb: str, name: str, body: bytes, headers: Any, query: str
    ) -> tuple[int, bytes, str | None]:
        if verb in self.refused:
            status, code = self.refused[verb]
            return status, f"<Error><Code>{code}</Code></Error>".encode(), None
        if verb == "LIST":
            return 200, self._listing(query), None
        there = self.objects.get(name)
        tag = None if there is None else _tag(there)
        if verb == "GET":
            if there is None:
                return 404, b"<Error><Code>NoSuchKey</Code></Error>", None
            if headers.get("If-None-Match") == tag:
                return 304, b"", tag
            return 206 if headers.get("Range") else 200, there, tag
        if verb == "DELETE":
            return (404 if self.objects.pop(name, None) is None else 204), b"", None
        if verb == "POST":
            keys = re.findall(rb"<Key>[^<]*</Key>", body)
            for key in keys:
                self.objects.pop(key[5:-6].decode(), None)
            deleted = b"".join(b"<Deleted>%s</Deleted>" % key for key in keys)
            return 200, b"<DeleteResult>%s</DeleteResult>" % deleted, None
        self.puts += 1
        if self.answers:
            return self.answers.pop(0), b"<Error></Error>", None
        if "If-None-Match" in self.keeps and headers.get("If-None-Match") and there is not None:
            return 412, b"<Error></Error>", None
        if "If-Match" in self.keeps and headers.get("If-Match") not in {None, tag}:
            return 412, b"<Error></Error>", None
        self.objects[name] = body
        return 200, b"", _tag(body)

    def _listing(self, query: str) -> bytes:
        """Return all that begins so, from the first on, whatever else was asked for."""
        prefix = parse_qs(query).get("prefix", [""])[0]
        date = "<LastModified>2026-11-23T08:00:00.000Z</LastModified>"
        found = "".join(
            f"<Contents><Key>{name}</Key>{date}<Size>{len(self.objects[name])}</Size></Contents>"
            for name in sorted(self.objects)
            if name.startswith(prefix)
        )
        return f"<ListBucketResult>{found}</ListBucketResult>".encode()


def _tag(data: bytes) -> str:
    return f'"{md5(data, usedforsecurity=False).hexdigest()}"'
