"""A mirror changes how packages arrive and nothing else: equal content, no trace in the image."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from stagegraph.engines.buildah import Buildah

from .checkout import Checkout
from .machine import host_mirror, require_engine

NODE = "base:tooling"
PASSED_ON = ("If-Modified-Since", "Range", "If-Range", "Cache-Control", "User-Agent")


class Mirror(ThreadingHTTPServer):
    """Passes requests on to the mirror of this host, and remembers their paths."""

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/through"


class _Handler(BaseHTTPRequestHandler):
    server: Mirror
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        request = urllib.request.Request(self.server.upstream + self.path.removeprefix("/through"), headers=headers)
        try:
            with urllib.request.urlopen(request) as answer:
                self._answer(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            self._answer(error.code, dict(error.headers), error.read())

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name in ("Last-Modified", "Content-Type", "ETag", "Content-Range"):
            if name in headers:
                self.send_header(name, headers[name])
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 304:
            self.wfile.write(body)

    def log_message(self, format: str, *words: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    server = Mirror(host_mirror())
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def checkout(store: str) -> Checkout:
    """A checkout in which the node was built from the host's own mirror, now: a mirror moves on."""
    require_engine()
    fresh = Checkout.fresh("mirror", store)
    fresh.good(NODE, f"--refresh={NODE}")
    return fresh


def test_two_mirrors_give_one_image_and_no_trace(checkout: Checkout, mirror: Mirror) -> None:
    before = checkout.record(NODE)
    through = checkout.good(NODE, f"--refresh={NODE}", f"APT_MIRROR_URL={mirror.address}")
    assert through.nodes("built") == [NODE], through.text
    assert any("/cmake" in path and path.endswith(".deb") for path in mirror.asked), mirror.asked[:9]
    after = checkout.record(NODE)
    assert after["content_id"] == before["content_id"]

    trace = f"127.0.0.1:{mirror.server_address[1]}".encode()
    with Buildah(checkout.options()).rootfs(after["image_id"], "e2e") as stream:
        kept = b""
        while block := stream.read(1 << 20):
            assert trace not in kept + block
            kept = block[-64:]
    for text in (checkout.engine("inspect", "--type", "image", after["image_id"]), str(after)):
        assert trace.decode() not in text

    # What stands in the store came through the mirror; the check builds it again from the host's own.
    asked = len(mirror.asked)
    verdict = checkout.good("--check-reproducible", NODE)
    assert f"{NODE}: reproducible" in verdict.stdout
    assert len(mirror.asked) == asked


def test_the_ubuntu_mirror_on_a_debian_root_is_an_error(checkout: Checkout) -> None:
    settings = ("USE_FAST_UBUNTU_MIRROR=true", "FAST_UBUNTU_MIRROR_URL=http://127.0.0.1:9/ubuntu")
    before = checkout.record(NODE)
    result = checkout.scons(NODE, f"--refresh={NODE}", *settings)
    assert result.status == 2, result.text
    assert "USE_FAST_UBUNTU_MIRROR=true, but the root is debian" in result.stdout
    assert "APT_MIRROR_URL" in result.stdout
    assert "Traceback" not in result.text
    assert checkout.record(NODE) == before


def test_a_dead_mirror_is_an_error_and_no_fallback(checkout: Checkout) -> None:
    result = checkout.scons(NODE, f"--refresh={NODE}", "APT_MIRROR_URL=http://127.0.0.1:9/debian")
    assert result.status == 2, result.text
    assert "127.0.0.1" in result.stdout and "FAILED" in result.stdout, result.text
