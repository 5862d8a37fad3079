from __future__ import annotations

import errno
import hashlib
import io
import os
import signal
import socket
import stat
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_server import serve, wait_for

from transferlib.errors import DownloadError
from transferlib.files import download
from transferlib.files.download import cache_dir, fetch, unpack
from transferlib.files.whole import verify

CONTENT = bytes(range(256)) * 1200  # 300 KB
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server():
    with serve({"weights.pth": CONTENT}) as running:
        yield running


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("digest", [SHA256, SHA256.upper(), SHA256[:8], f"sha256:{SHA256}", f"md5:{MD5}"])
def test_a_file_is_fetched_once_and_only_verified_afterwards(server, tmp_path, digest):
    path = tmp_path / "new" / "weights.pth"
    for _ in range(2):
        assert fetch(f"{server.url}/weights.pth?download=1", path, digest=digest) == path
        assert path.read_bytes() == CONTENT
    assert server.requests == ["weights.pth"]
    assert names(path.parent) == ["weights.pth"]


@pytest.mark.parametrize("digest", ["", SHA256[:7], "g" * 64, SHA256 + "0", f"md5:{MD5[:8]}", f"crc32:{SHA256}"])
def test_what_cannot_be_a_digest_is_refused_before_anything_is_fetched(server, tmp_path, digest):
    with pytest.raises(DownloadError, match="is not a digest"):
        fetch(f"{server.url}/weights.pth", tmp_path / "w", digest=digest)
    assert server.requests == []


@pytest.mark.skipif(os.name == "nt", reason="no permission bits")
def test_the_file_gets_the_permissions_that_new_files_get(server, tmp_path):
    (tmp_path / "usual").touch()
    path = fetch(f"{server.url}/weights.pth", tmp_path / "w", digest=SHA256)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "usual").stat().st_mode)


def assert_fails_cleanly(url: str, folder: Path, *reasons: str, digest: str = SHA256, **options: float) -> None:
    """The error names address, path and reason; the folder is as it was."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(DownloadError) as caught:
        fetch(url, folder / "weights.pth", digest=digest, **options)
    for part in (url, str(folder / "weights.pth"), *reasons):
        assert part in str(caught.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("sent", [0, 1, 100_000])
def test_a_connection_that_ends_early_leaves_nothing(server, tmp_path, sent):
    server.stop_after = sent
    assert_fails_cleanly(f"{server.url}/weights.pth", tmp_path, f"after {sent:,} of 307,200 bytes", "by hand")


def test_a_server_that_falls_silent_is_given_up(server, tmp_path):
    server.stall_after = 1000
    assert_fails_cleanly(f"{server.url}/weights.pth", tmp_path, "timed out", timeout=0.3)


def test_the_wrong_content_is_not_kept(server, tmp_path):
    assert_fails_cleanly(f"{server.url}/weights.pth", tmp_path, "expected digest", digest="0" * 64)


def test_a_missing_file_says_404(server, tmp_path):
    assert_fails_cleanly(f"{server.url}/gone.pth", tmp_path, "404")


def test_without_a_network_the_error_says_what_to_do(tmp_path):
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/weights.pth"
        assert_fails_cleanly(url, tmp_path, "efused", "download it by hand")


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/x", "weights.pth", "http://[::1", "http://"])
def test_other_addresses_are_refused(tmp_path, url):
    assert_fails_cleanly(url, tmp_path)


def test_a_damaged_file_is_replaced(server, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(CONTENT[:-1])
    assert not verify(path, SHA256)
    fetch(f"{server.url}/weights.pth", path, digest=SHA256)
    assert path.read_bytes() == CONTENT


def test_a_damaged_file_stays_when_no_better_one_arrives(server, tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"damaged")
    server.stop_after = 10
    assert_fails_cleanly(f"{server.url}/weights.pth", tmp_path)


def test_a_folder_in_the_way_is_an_error(server, tmp_path):
    (tmp_path / "weights.pth").mkdir()
    with pytest.raises(DownloadError, match=r"weights\.pth"):
        fetch(f"{server.url}/weights.pth", tmp_path / "weights.pth", digest=SHA256)
    assert names(tmp_path) == ["weights.pth"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KB, where the tests may make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if not sys.platform.startswith("linux") or os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("may not mount a small file system here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_named_and_left_clean(server, small_disk):
    assert_fails_cleanly(f"{server.url}/weights.pth", small_disk, "disk is full", "TRANSFERLIB_CACHE")


def test_a_full_disk_is_named_even_where_it_must_be_pretended(server, tmp_path, monkeypatch):
    class Full(io.FileIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    usual = Path.open
    monkeypatch.setattr(
        Path, "open", lambda self, mode="r", *a: Full(self, mode) if "w" in mode else usual(self, mode, *a)
    )
    with pytest.raises(DownloadError, match="disk is full"):
        fetch(f"{server.url}/weights.pth", tmp_path / "w", digest=SHA256)
    assert names(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="signals work otherwise there")
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_process_leaves_no_half_file_under_the_name(server, tmp_path, sign):
    server.stall_after = 100_000
    url, path = f"{server.url}/weights.pth", tmp_path / "weights.pth"
    code = f"from transferlib.files.download import fetch\nfetch({url!r}, {str(path)!r}, digest={SHA256!r})"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) as process:
        try:
            wait_for(lambda: names(tmp_path))
            assert names(tmp_path)[0].endswith(".part")
            process.send_signal(sign)
            _, error = process.communicate(timeout=60)
        finally:
            process.kill()
    assert not path.exists()
    if sign == signal.SIGINT:
        assert b"KeyboardInterrupt" in error
        assert names(tmp_path) == []
    server.stall_after = None
    assert fetch(url, path, digest=SHA256).read_bytes() == CONTENT


def test_remains_of_killed_processes_go_after_a_day(server, tmp_path):
    old, fresh = tmp_path / ".w.0a.part", tmp_path / ".w.0b.part"
    for part in (old, fresh):
        part.write_bytes(b"half")
    os.utime(old, (0, time.time() - 2 * 86_400))
    fetch(f"{server.url}/weights.pth", tmp_path / "w", digest=SHA256)
    assert names(tmp_path) == [".w.0b.part", "w"]


def test_the_cache_folder_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("TRANSFERLIB_CACHE", str(tmp_path / "mine"))
    assert cache_dir() == tmp_path / "mine"


@pytest.mark.parametrize(
    ("platform", "variable", "ending"),
    [
        ("linux", "XDG_CACHE_HOME", ".cache/transferlib"),
        ("darwin", "", "Library/Caches/transferlib"),
        ("win32", "LOCALAPPDATA", "AppData/Local/transferlib"),
    ],
)
def test_the_cache_folder_is_the_platforms(monkeypatch, tmp_path, platform, variable, ending):
    monkeypatch.delenv("TRANSFERLIB_CACHE", raising=False)
    monkeypatch.setattr(download.sys, "platform", platform)
    if variable:
        monkeypatch.delenv(variable, raising=False)
    assert cache_dir().as_posix().endswith(ending)
    assert cache_dir().is_absolute()
    if variable:
        monkeypatch.setenv(variable, str(tmp_path))
        assert cache_dir() == tmp_path / "transferlib"


# Archives


def make_zip(path: Path, members: dict[str, bytes], links: tuple[str, ...] = ()) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.filename = name  # as it is, whatever the separator
            if name in links:
                info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
            packed.writestr(info, content)
    return path


def make_tar(path: Path, members: dict[str, bytes], types: dict[str, bytes] | None = None) -> Path:
    with tarfile.open(path, "w:gz") as packed:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.type = (types or {}).get(name, tarfile.REGTYPE)
            if info.isfile():
                info.size = len(content)
                packed.addfile(info, io.BytesIO(content))
            else:
                info.linkname = content.decode()
                packed.addfile(info)
    return path


GOOD = {"jpg/one.jpg": b"1" * 5000, "jpg/deep/two.jpg": b"2"}


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_archives_are_unpacked(tmp_path, make):
    archive = make(tmp_path / "archive", GOOD)
    whole, part = tmp_path / "out" / "whole", tmp_path / "out" / "part"
    assert unpack(archive, whole) == whole
    assert (whole / "jpg" / "deep" / "two.jpg").read_bytes() == b"2"
    unpack(archive, part, top="jpg")
    assert (part / "one.jpg").read_bytes() == b"1" * 5000
    assert names(tmp_path / "out") == ["part", "whole"]


def test_an_existing_folder_is_complete_and_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    assert unpack(tmp_path / "no such archive", tmp_path / "out") == tmp_path / "out"


EVIL = {
    "zip up": lambda p: make_zip(p, {"../evil": b""}),
    "zip up inside": lambda p: make_zip(p, {"a/../../evil": b""}),
    "zip backslash": lambda p: make_zip(p, {"..\\evil": b""}),
    "zip absolute": lambda p: make_zip(p, {"/tmp/evil": b""}),
    "zip drive": lambda p: make_zip(p, {"C:\\evil": b""}),
    "zip link": lambda p: make_zip(p, {"evil": b"/etc/passwd"}, links=("evil",)),
    "zip bomb": lambda p: make_zip(p, {"evil": bytes(2_000_000)}),
    "tar up": lambda p: make_tar(p, {"../evil": b""}),
    "tar absolute": lambda p: make_tar(p, {"/tmp/evil": b""}),
    "tar symlink": lambda p: make_tar(p, {"evil": b"/etc/passwd"}, {"evil": tarfile.SYMTYPE}),
    "tar symlink inside": lambda p: make_tar(p, {"a": b"b", "evil": b"a"}, {"evil": tarfile.SYMTYPE}),
    "tar hard link": lambda p: make_tar(p, {"evil": b"/etc/passwd"}, {"evil": tarfile.LNKTYPE}),
    "tar pipe": lambda p: make_tar(p, {"evil": b""}, {"evil": tarfile.FIFOTYPE}),
    "tar bomb": lambda p: make_tar(p, {"a": b"", "evil": bytes(2_000_000)}),
}


@pytest.mark.parametrize("kind", EVIL)
def test_archives_that_reach_out_are_refused_and_leave_nothing(tmp_path, kind):
    archive = EVIL[kind](tmp_path / "archive")
    with pytest.raises(DownloadError, match=r"grow beyond 1,000,000" if "bomb" in kind else "evil"):
        unpack(archive, tmp_path / "out", max_bytes=1_000_000)
    assert names(tmp_path) == ["archive"]


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_damaged_archives_are_one_error_and_leave_nothing(tmp_path, make, damage):
    noise = {"jpg/one.jpg": os.urandom(50_000)}
    whole = bytearray(make(tmp_path / "archive", noise).read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    bad = {"cut": bytes(whole[: len(whole) // 2]), "flipped": bytes(whole), "empty": b"", "text": b"<html>" * 99}
    (tmp_path / "archive").write_bytes(bad[damage])
    with pytest.raises(DownloadError, match="archive could not be unpacked"):
        unpack(tmp_path / "archive", tmp_path / "out")
    assert names(tmp_path) == ["archive"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["..", ".", "a", "b", "/", "\\", "C:", ""]), min_size=1, max_size=5), st.booleans())
def test_whatever_its_name_a_member_lands_inside_or_nowhere(tmp_path_factory, pieces, tar):
    outside = tmp_path_factory.mktemp("outside")
    archive = outside / "archive"
    (make_tar if tar else make_zip)(archive, {"/".join(pieces): b"x"})
    try:
        unpack(archive, outside / "middle" / "out")
    except DownloadError:
        assert not (outside / "middle" / "out").exists()
    assert set(names(outside)) <= {"archive", "middle"}
    assert set(names(outside / "middle")) <= {"out"}
