"""Downloads from a server on this machine that cuts, stalls, lies and serves wrong bytes."""

import contextlib
import gzip
import hashlib
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from made_exp.datasets import download
from made_exp.datasets.download import Checksum, fetch
from made_exp.datasets.registry import default_data_dir
from made_exp.errors import DownloadError

CONTENT = bytes(range(256)) * 400
SHA256 = Checksum("sha256", hashlib.sha256(CONTENT).hexdigest())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def start(self, length, status=200, **headers):
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def do_GET(self):
        self.server.hits.append(self.path)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            getattr(self, self.path.strip("/"))()

    def good(self):
        self.start(len(CONTENT))
        self.wfile.write(CONTENT)

    def slow(self):
        self.start(len(CONTENT))
        for start in range(0, len(CONTENT), 20_000):
            self.wfile.write(CONTENT[start : start + 20_000])
            time.sleep(0.1)

    def wrong(self):
        self.start(len(CONTENT))
        self.wfile.write(CONTENT[:-1] + b"x")

    def missing(self):
        self.start(0, status=404)

    def error(self):
        self.start(0, status=500)

    def cut(self):
        self.start(len(CONTENT))
        self.wfile.write(CONTENT[:5000])

    def cut_without_length(self):
        self.start(None)
        self.wfile.write(CONTENT[:5000])

    def length_too_long(self):
        self.start(len(CONTENT) + 1000)
        self.wfile.write(CONTENT)

    def length_too_short(self):
        self.start(len(CONTENT) - 1000)
        self.wfile.write(CONTENT)

    def length_is_nonsense(self):
        self.start("many")
        self.wfile.write(CONTENT)

    def broken_gzip_transfer(self):
        self.start(len(CONTENT), Content_Encoding="gzip")
        self.wfile.write(CONTENT)

    def redirect_to_itself(self):
        self.start(0, status=302, Location=self.path)

    def drop(self):
        self.close_connection = True

    def stall(self):
        self.start(len(CONTENT))
        self.wfile.write(CONTENT[:5000])
        self.wfile.flush()
        self.server.stalled.set()
        self.server.release.wait(20)

    def trickle(self):
        self.start(len(CONTENT))
        for start in range(0, len(CONTENT), 5000):
            self.wfile.write(CONTENT[start : start + 5000])
            if self.server.release.wait(0.05):
                return


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.hits, server.stalled, server.release = [], threading.Event(), threading.Event()
    server.url = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(download, "READ_SECONDS", 0.3)


def left_behind(path):
    return [p.name for p in path.parent.iterdir() if not p.name.endswith(".lock")]


FAULTS = [
    "wrong",
    "missing",
    "error",
    "cut",
    "cut_without_length",
    "length_too_long",
    "length_too_short",
    "length_is_nonsense",
    "broken_gzip_transfer",
    "redirect_to_itself",
    "drop",
    "stall",
]


def test_file_is_downloaded_and_then_used_as_it_is(server, tmp_path):
    path = tmp_path / "sub" / "file.bin"
    assert fetch([server.url + "good"], path, SHA256) == path
    assert path.read_bytes() == CONTENT
    fetch([server.url + "good"], path, SHA256)
    assert server.hits == ["/good"]
    assert left_behind(path) == ["file.bin"]


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_server_leaves_nothing_and_is_named(server, impatient, tmp_path, fault):
    path = tmp_path / "file.bin"
    with pytest.raises(DownloadError) as caught:
        fetch([server.url + fault], path, SHA256)
    message = str(caught.value)
    assert server.url + fault in message
    assert str(path) in message
    assert "by hand" in message
    assert SHA256.digest in message
    assert "\n" not in message
    assert left_behind(path) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_next_mirror_is_tried(server, impatient, tmp_path, fault):
    path = tmp_path / "file.bin"
    fetch([server.url + fault, server.url + "good"], path, SHA256)
    assert path.read_bytes() == CONTENT
    assert left_behind(path) == ["file.bin"]


@pytest.mark.parametrize("fault", ["cut", "length_too_long", "stall", "drop", "error"])
def test_cut_transfer_is_noticed_without_a_checksum(server, impatient, tmp_path, fault):
    with pytest.raises(DownloadError):
        fetch([server.url + fault], tmp_path / "file.bin", None)
    assert left_behind(tmp_path / "file.bin") == []


def test_trickling_server_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(download, "SLOWEST_BYTES_PER_SECOND", 1e9)
    with pytest.raises(DownloadError, match="too slow"):
        fetch([server.url + "trickle"], tmp_path / "file.bin", SHA256)
    assert left_behind(tmp_path / "file.bin") == []


def test_no_network_says_where_to_put_the_file(tmp_path):
    path = tmp_path / "mnist" / "file.gz"
    with pytest.raises(DownloadError, match="by hand") as caught:
        fetch(["http://127.0.0.1:9/file.gz"], path, SHA256)
    assert str(path) in str(caught.value)
    assert "refused" in str(caught.value)


def test_damaged_file_is_replaced(server, tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(CONTENT[:100])
    fetch([server.url + "good"], path, SHA256)
    assert path.read_bytes() == CONTENT


def test_damaged_file_stays_when_there_is_no_better_one(server, tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"mine")
    with pytest.raises(DownloadError, match="damaged"):
        fetch([server.url + "cut"], path, SHA256)
    assert path.read_bytes() == b"mine"


def test_present_file_needs_no_write_permission(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(CONTENT)
    tmp_path.chmod(0o555)
    try:
        fetch([], path, SHA256)
        assert left_behind(path) == ["file.bin"]
    finally:
        tmp_path.chmod(0o755)


@pytest.mark.parametrize("content", [None, b"damaged"])
def test_folder_that_cannot_be_written_is_named(server, tmp_path, content):
    path = tmp_path / "file.bin"
    if content:
        path.write_bytes(content)
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(DownloadError, match=r"cannot be written.*MADE_DATA_DIR"):
            fetch([server.url + "good"], path, SHA256)
    finally:
        tmp_path.chmod(0o755)
    assert server.hits == []


def test_folder_that_is_a_file_is_named(server, tmp_path):
    (tmp_path / "mnist").write_text("")
    with pytest.raises(DownloadError, match="cannot be written"):
        fetch([server.url + "good"], tmp_path / "mnist" / "file.bin", SHA256)


def test_checksums_of_every_kind(tmp_path):
    path, packed = tmp_path / "plain", tmp_path / "packed.gz"
    path.write_bytes(CONTENT)
    packed.write_bytes(gzip.compress(CONTENT, 1))
    blob = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()
    md5 = Checksum("md5", hashlib.md5(CONTENT).hexdigest(), decompressed=True)
    for checksum in (SHA256, Checksum("git-blob", blob), md5):
        assert download.digest_problem(path, checksum) is None
    assert download.digest_problem(packed, md5) is None
    assert "sha256 is" in download.digest_problem(packed, SHA256)
    packed.write_bytes(packed.read_bytes()[:-20])
    assert "gzip" in download.digest_problem(packed, md5)


def test_git_blob_id_is_gits_own(tmp_path):
    (tmp_path / "file").write_bytes(b"hello\n")
    checksum = Checksum("git-blob", "ce013625030ba8dba906f756967f9e9ca394464a")
    assert download.digest_problem(tmp_path / "file", checksum) is None


def test_file_without_published_checksum_is_recorded_and_a_change_refused(server, tmp_path):
    path = tmp_path / "rcv1.npz"
    fetch([server.url + "good"], path, None)
    assert (tmp_path / "rcv1.npz.sha256").read_text().split() == [SHA256.digest, "rcv1.npz"]
    fetch([], path, None)
    path.write_bytes(CONTENT + b"more")
    with pytest.raises(DownloadError, match=rf"damaged.*by hand \(sha256 {SHA256.digest}\)"):
        fetch([server.url + "wrong"], path, None)
    assert path.read_bytes() == CONTENT + b"more"
    fetch([server.url + "good"], path, None)
    assert path.read_bytes() == CONTENT


FETCH = """
import sys
from pathlib import Path
from made_exp.datasets.download import Checksum, fetch
fetch([sys.argv[1]], Path(sys.argv[2]), Checksum("sha256", sys.argv[3]))
"""


def start_fetch(url, path):
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, url, str(path), SHA256.digest], stderr=subprocess.PIPE
    )


def test_processes_that_start_together_download_once(server, tmp_path):
    path = tmp_path / "file.bin"
    processes = [start_fetch(server.url + "slow", path) for _ in range(3)]
    errors = [process.communicate(timeout=100)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    assert server.hits == ["/slow"]
    assert path.read_bytes() == CONTENT


def test_killed_download_leaves_nothing_that_is_used(server, tmp_path):
    path = tmp_path / "file.bin"
    process = start_fetch(server.url + "stall", path)
    assert server.stalled.wait(60)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert not path.exists()
    fetch([server.url + "good"], path, SHA256)
    assert left_behind(path) == ["file.bin"]


def test_held_lock_is_reported(server, tmp_path, monkeypatch):
    import filelock

    monkeypatch.setattr(download, "LOCK_SECONDS", 0.1)
    path = tmp_path / "file.bin"
    with (
        filelock.FileLock(tmp_path / ".file.bin.lock"),
        pytest.raises(DownloadError, match="another process"),
    ):
        fetch([server.url + "good"], path, SHA256)


def test_progress_bar_is_drawn_on_a_terminal_only(server, tmp_path, capsys, monkeypatch):
    fetch([server.url + "good"], tmp_path / "one.bin", SHA256)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fetch([server.url + "good"], tmp_path / "two.bin", SHA256)
    assert "two" in capsys.readouterr().err


def test_data_dir_is_the_environment_variable_or_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path))
    assert default_data_dir() == tmp_path
    monkeypatch.setenv("MADE_DATA_DIR", "")
    assert default_data_dir().name == "made-exp"
