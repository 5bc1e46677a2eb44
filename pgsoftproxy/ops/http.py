"""The operator's port: /metrics, /healthz, /readyz; on a thread, so that a scrape never delays a statement.

Must not know sessions; it reads figures that others keep. Nothing here can change anything.
"""

import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pgsoftproxy.errors import ConfigError
from pgsoftproxy.ops import pages
from pgsoftproxy.ops.metrics import Metrics


class OpsServer:
    """Serve the three pages until closed; `port` is the real one, also where 0 was asked for."""

    def __init__(self, host: str, port: int, metrics: Metrics) -> None:
        try:
            family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self._server = _server_class(family)((host, port), _handler_class(metrics))
        except OSError as error:
            reason = error.strerror or error
            raise ConfigError((f"metrics: cannot listen on {host}:{port}: {reason}",)) from error
        self.port = int(self._server.server_address[1])
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name="ops-http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving and release the port."""
        self._closing = True
        self._server.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._thread.join()
        self._server.server_close()

    def _serve(self) -> None:
        # `serve_forever` looks twice a second whether it is over: each end of a proxy would wait for that.
        while not self._closing:
            self._server.handle_request()


def _server_class(family: int) -> type[ThreadingHTTPServer]:
    class Server(ThreadingHTTPServer):
        address_family = socket.AddressFamily(family)
        daemon_threads = True
        block_on_close = False

    return Server


def _handler_class(metrics: Metrics) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = pages.SLOW_CLIENT_SECONDS
        server_version = "pgsoftproxy"
        sys_version = ""

        def do_GET(self) -> None:
            figures = metrics.figures
            match self.path.partition("?")[0]:
                case "/metrics":
                    self._answer(pages.exposed(metrics.registry, self.headers.get("Accept", "")))
                case "/healthz":
                    self._answer(pages.words(pages.HEALTHY))
                case "/readyz":
                    self._answer(pages.readiness(ready=figures.ready, draining=figures.draining))
                case _:
                    self._answer(pages.Answer(HTTPStatus.NOT_FOUND, pages.NOT_FOUND.encode()))

        def _answer(self, answer: pages.Answer) -> None:
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: scrapes and probes are not events."""

    return Handler
