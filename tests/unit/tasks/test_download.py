"""Downloads: resumed, verified, unpacked; nothing outside the folder, nothing but https."""

import hashlib
import json
import lzma
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import hanmo
from download_cases import CHUNK, Server, leading_to, serving
from hanmo.core.errors import UserError
from hanmo.tasks import archives, download
from hanmo.tasks.archives import unpack
from hanmo.tasks.download import fetch, open_https
from hanmo.tasks.obtain import RECORD, Got, folder_of, obtain
from hanmo.tasks.task import Download, Task

URL = "https://data.example/数据/big.bin"
BODY = bytes(range(256)) * (5 * CHUNK // 256) + b"end"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        made.files["/数据/big.bin"] = BODY
        yield made


def get(server: Server, path: Path, *, url: str = URL, checked: bool = False) -> bytes:
    fetch(url, path, advice="ask", checked=checked, open_url=leading_to(server.port))
    return path.read_bytes()


def begun(path: Path, n: int, *, version: str | None = '"1"', url: str = URL) -> None:
    """What a killed download leaves."""
    path.write_bytes(BODY[:n])
    state = {"url": url, "version": version, "size": len(BODY)}
    path.with_name(f"{path.name}.json").write_text(json.dumps(state))


def test_a_file_arrives(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "part"
    assert get(server, path) == BODY
    assert "range" not in server.seen[0]
    assert server.seen[0]["user-agent"] == f"hanmo/{hanmo.__version__}"
    assert get(server, path) == BODY
    assert len(server.seen) == 1  # it knows that all is there
    download.forget(path)
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_killed_download_continues(server: Server, tmp_path: Path) -> None:
    path, n = tmp_path / "part", 2 * CHUNK
    server.stop_after = n
    program = (
        "import sys\nfrom pathlib import Path\nfrom download_cases import leading_to\n"
        "from hanmo.tasks.download import fetch\n"
        f"fetch({URL!r}, Path(sys.argv[1]), advice='', open_url=leading_to({server.port}))\n"
    )
    tests, source = Path(__file__).parents[2], Path(hanmo.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": f"{tests}{os.pathsep}{source}"}
    with subprocess.Popen([sys.executable, "-c", program, str(path)], env=environment) as process:
        end = time.monotonic() + 60
        while not (path.is_file() and path.stat().st_size == n):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    server.stop_after = None
    server.go_on.set()
    assert get(server, path) == BODY
    assert server.seen[-1]["range"] == f"bytes={n}-"
    assert server.seen[-1]["if-range"] == '"1"'


def test_a_download_that_breaks_off_continues(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "part"
    server.stop_after = CHUNK
    server.go_on.set()
    with pytest.raises(UserError, match="cut off after 65,536 of 327,683 bytes; the same command"):
        get(server, path)
    server.stop_after = None
    assert get(server, path) == BODY
    assert server.seen[-1]["range"] == f"bytes={CHUNK}-"


def test_what_changed_meanwhile_begins_again(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "part"
    begun(path, 1000, version='"0"')
    assert get(server, path) == BODY
    assert server.seen[-1]["range"] == "bytes=1000-"


@pytest.mark.parametrize("case", ["no ranges", "another address", "no version", "damaged"])
def test_what_cannot_be_continued_begins_again(server: Server, tmp_path: Path, case: str) -> None:
    path = tmp_path / "part"
    begun(path, 1000, version=None if case == "no version" else '"1"')
    if case == "no ranges":
        server.ranges = False
    elif case == "another address":
        begun(path, 1000, url=URL + "2")
    elif case == "damaged":
        path.with_name("part.json").write_text("{")
    assert get(server, path) == BODY
    assert ("range" in server.seen[-1]) == (case == "no ranges")


def test_a_checksum_stands_for_the_version(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "part"
    server.version = 'W/"1"'
    begun(path, 1000, version=None)
    assert get(server, path, checked=True) == BODY
    assert server.seen[-1]["range"] == "bytes=1000-"
    assert "if-range" not in server.seen[-1]
    assert json.loads(path.with_name("part.json").read_text())["version"] is None


def test_more_than_there_is_begins_again(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "part"
    begun(path, len(BODY))
    server.files["/数据/big.bin"] = BODY[:500]
    path.with_name("part.json").write_text(json.dumps({"url": URL, "version": '"1"'}))
    assert get(server, path) == BODY[:500]


def test_errors_say_what_to_do(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "part"
    with pytest.raises(UserError, match=r"^https://x/no: 404 Not Found; ask$"):
        get(server, path, url="https://x/no")
    with pytest.raises(UserError, match=r"^http://x/no: expected an address that begins"):
        get(server, path, url="http://x/no")
    for url in ("http://127.0.0.1/a", "file:///etc/passwd", "ftp://x/a"):
        with pytest.raises(UserError, match="begins with https"):
            open_https(urllib.request.Request(url), 1)
    monkeypatch.setattr(download, "_SILENCE", 0.1)
    server.stop_after = 0
    with pytest.raises(UserError, match=r"the connection broke \(timed out\); the same command"):
        get(server, path)
    with pytest.raises(UserError, match=r"no connection to data.example \(.*refused\); ask"):
        fetch(URL, path, advice="ask", open_url=leading_to(9))


def test_a_redirect_away_from_https_is_refused(server: Server) -> None:
    server.redirect = "http://127.0.0.1:1/big.bin"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), download._HttpsOnly)
    with pytest.raises(UserError, match="begins with https"):
        opener.open(f"http://127.0.0.1:{server.port}/big.bin", timeout=5)


def write_zip(path: Path, members: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return path.read_bytes()


def test_only_wanted_members_and_only_in_the_folder(tmp_path: Path) -> None:
    path, folder = tmp_path / "a.zip", tmp_path / "in" / "out"
    folder.mkdir(parents=True)
    link = zipfile.ZipInfo("link/dev.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        for name in (
            *("../train.json", "/train.json", "a/../../train.json", "..\\train.json"),
            *("C:/train.json", "__MACOSX/a/train.json", "other.json", "xtrain.json", "a/"),
        ):
            archive.writestr(name, b"hostile")
        archive.writestr(link, b"/etc/passwd")
        archive.writestr("a/train.json", b"good")
        archive.writestr("b/dev.json", b"dev")
    assert unpack(path, {"train.json": "train.json", "dev.json": "d.json"}, folder) == [
        folder / "train.json",
        folder / "d.json",
    ]
    assert (folder / "train.json").read_bytes() == b"good"
    assert (folder / "d.json").read_bytes() == b"dev"
    assert sorted(tmp_path.rglob("*")) == [
        path,
        tmp_path / "in",
        folder,
        folder / "d.json",
        folder / "train.json",
    ]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        (("../dev.json",), "0 members that end in dev.json; expected one; there: "),
        (("a/dev.json", "b/dev.json"), "2 members that end in dev.json"),
        (tuple(f"{n}.json" for n in range(20)), "11.json … (20 in all)"),
    ],
)
def test_archives_without_the_member(
    tmp_path: Path, members: tuple[str, ...], expected: str
) -> None:
    write_zip(tmp_path / "a.zip", dict.fromkeys(members, b"x"))
    with pytest.raises(UserError) as caught:
        unpack(tmp_path / "a.zip", {"dev.json": "dev.json"}, tmp_path)
    assert expected in str(caught.value)


def test_damaged_archives(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"<html>")
    with pytest.raises(UserError, match="not a zip archive"):
        unpack(path, {"dev.json": "dev.json"}, tmp_path)
    raw = bytearray(write_zip(path, {"dev.json": os.urandom(500)}))
    raw[200] ^= 255
    path.write_bytes(raw)
    with pytest.raises(UserError, match=r"dev\.json cannot be unpacked \(Bad CRC-32"):
        unpack(path, {"dev.json": "dev.json"}, tmp_path)
    assert list(tmp_path.iterdir()) == [path]


TRAIN, DEV = b'{"label": "0"}\n', b'{"label": "1"}\n'
SPLITS = {"train": ("train.json",), "dev": ("dev.json", "val.json")}


def task_of(*downloads: Download, request: str = "") -> Task:
    return Task(
        name="toy",
        kind="classification",
        splits=SPLITS,
        columns={},
        source="https://toy",
        downloads=downloads,
        request=request,
    )


def plain(body: bytes = DEV) -> Task:
    return task_of(Download("https://x/dev.json", "dev.json", sha256(body)))


def zipped(body: bytes, *, known: bool = True) -> Task:
    members = {"train.json": "train.json", "dev.json": "dev.json"}
    digest = sha256(body) if known else ""
    return task_of(Download("https://x/toy.zip", "toy.zip", digest, members))


def test_a_plain_file_is_verified_and_then_left(server: Server, tmp_path: Path) -> None:
    server.files["/dev.json"] = DEV
    folder, opener = tmp_path / "data" / "toy", leading_to(server.port)
    assert obtain(plain(), folder, open_url=opener) == [
        Got("dev.json", "downloaded", sha256(DEV), "verified")
    ]
    assert sorted(path.name for path in folder.iterdir()) == ["dev.json", RECORD]
    assert json.loads((folder / RECORD).read_text()) == {
        "dev.json": {
            "from": "https://x/dev.json",
            "download_sha256": sha256(DEV),
            "sha256": sha256(DEV),
            "verified": True,
        }
    }
    assert obtain(plain(), folder, open_url=opener) == [Got("dev.json", "there", note="verified")]
    assert len(server.seen) == 1


def test_an_archive_is_unpacked_and_removed(server: Server, tmp_path: Path) -> None:
    raw = write_zip(tmp_path / "a.zip", {"toy/train.json": TRAIN, "toy/dev.json": DEV, "x": b""})
    server.files["/toy.zip"] = raw
    folder, opener = tmp_path / "toy", leading_to(server.port)
    got = obtain(zipped(raw), folder, open_url=opener)
    assert got == [
        Got(name, "downloaded", sha256(raw), "verified") for name in ("train.json", "dev.json")
    ]
    assert (folder / "train.json").read_bytes() == TRAIN
    assert sorted(path.name for path in folder.iterdir()) == ["dev.json", RECORD, "train.json"]
    states = {(one.state, one.note) for one in obtain(zipped(raw), folder, open_url=opener)}
    assert states == {("there", "as it was obtained")}
    (folder / "dev.json").unlink()
    [missing] = obtain(zipped(raw), folder, open_url=opener)
    assert (missing.file, missing.state) == ("dev.json", "downloaded")
    assert len(server.seen) == 2


def test_a_kill_while_unpacking_needs_no_second_download(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = write_zip(tmp_path / "a.zip", {"train.json": TRAIN, "dev.json": DEV})
    server.files["/toy.zip"] = raw
    folder, opener = tmp_path / "toy", leading_to(server.port)

    def killed(path: Path, wanted: dict[str, str], folder: Path) -> None:
        unpack(path, {"train.json": "train.json"}, folder)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(archives, "unpack", killed)
        with pytest.raises(KeyboardInterrupt):
            obtain(zipped(raw), folder, open_url=opener)
    [got] = obtain(zipped(raw), folder, open_url=opener)
    assert (got.file, got.state, got.note) == ("dev.json", "downloaded", "verified")
    assert len(server.seen) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["dev.json", RECORD, "train.json"]


def test_another_checksum_is_kept_aside_and_taken_on_demand(server: Server, tmp_path: Path) -> None:
    new = b"new\n"
    server.files["/dev.json"] = new
    opener, rejected = leading_to(server.port), tmp_path / "dev.json.rejected"
    with pytest.raises(UserError) as caught:
        obtain(plain(), tmp_path, open_url=opener)
    for words in (sha256(new), sha256(DEV), "replaced", str(rejected), "--accept-changed"):
        assert words in str(caught.value)
    assert rejected.read_bytes() == new
    assert not (tmp_path / "dev.json").exists()
    [got] = obtain(plain(), tmp_path, accept_changed=True, open_url=opener)
    assert got == Got("dev.json", "downloaded", sha256(new), "changed by its publisher, accepted")
    assert (tmp_path / "dev.json").read_bytes() == new
    assert not rejected.exists()
    assert len(server.seen) == 1  # what was rejected is what is taken
    [again] = obtain(plain(), tmp_path, open_url=opener)
    assert (again.state, again.note) == ("there", "as it was obtained")
    assert not json.loads((tmp_path / RECORD).read_text())["dev.json"]["verified"]


def test_a_file_without_a_known_checksum_says_so(server: Server, tmp_path: Path) -> None:
    server.files["/dev.json"] = DEV
    task = task_of(Download("https://x/dev.json", "dev.json"))
    [got] = obtain(task, tmp_path, open_url=leading_to(server.port))
    assert got == Got("dev.json", "downloaded", sha256(DEV), "unverified: no checksum is known")


def test_other_files_that_are_there_are_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "dev.json"
    path.write_bytes(b"mine")
    with pytest.raises(UserError, match=r"dev.json: there, but not the file of https://x/dev.json"):
        obtain(plain(), tmp_path)
    [got] = obtain(plain(), tmp_path, accept_changed=True)
    assert got == Got("dev.json", "there", sha256(b"mine"), "another checksum, accepted")
    assert path.read_bytes() == b"mine"
    assert obtain(plain(), tmp_path)[0].note == "as it was obtained"
    path.unlink()
    (tmp_path / "dev.json.xz").write_bytes(lzma.compress(DEV))
    assert obtain(plain(), tmp_path) == [Got("dev.json", "there", note="verified")]


@pytest.mark.parametrize("name", ["dev.json", "dev.json.xz", "download"])
def test_a_file_at_hand(tmp_path: Path, name: str) -> None:
    given, folder = tmp_path / name, tmp_path / "toy"
    given.write_bytes(lzma.compress(DEV) if name.endswith("xz") else DEV)
    assert obtain(plain(), folder, given=given) == [
        Got(name if name.endswith("xz") else "dev.json", "taken", sha256(DEV), "verified")
    ]
    assert given.is_file()
    assert obtain(plain(), folder) == [Got("dev.json", "there", note="verified")]
    given.write_bytes(b"other")
    if name == "dev.json":
        with pytest.raises(UserError, match=f"{sha256(b'other')}; expected {sha256(DEV)}"):
            obtain(plain(), folder, given=given)
        [got] = obtain(plain(), folder, given=given, accept_changed=True)
        assert got == Got("dev.json", "taken", sha256(b"other"), "another checksum, accepted")


def test_an_archive_at_hand(tmp_path: Path) -> None:
    given, folder = tmp_path / "toy (1).zip", tmp_path / "toy"
    raw = write_zip(given, {"train.json": TRAIN, "dev.json": DEV})
    assert {one.note for one in obtain(zipped(raw), folder, given=given)} == {"verified"}
    assert (folder / "dev.json").read_bytes() == DEV
    assert given.is_file()


def test_data_on_request(tmp_path: Path) -> None:
    task, folder, given = task_of(request="ask them"), tmp_path / "toy", tmp_path / "sent.zip"
    assert obtain(task, folder) == [
        Got("train.json", "on request", note="ask them"),
        Got("dev.json", "on request", note="ask them"),
    ]
    assert not folder.exists()
    write_zip(given, {"corpus/train.json": TRAIN, "corpus/val.json": DEV})
    taken = obtain(task, folder, given=given)
    assert [one.file for one in taken] == ["train.json", "val.json"]
    assert {one.note for one in taken} == {"unverified: no checksum is known"}
    assert obtain(task, folder) == []


def test_mistakes_of_files_at_hand(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        obtain(plain(), tmp_path, given=tmp_path / "no")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UserError, match=r"no file of task toy; expected dev.json, train.json"):
        obtain(plain(), tmp_path, given=tmp_path / "notes.txt")
    with pytest.raises(UserError, match="no download is known; get its files from https://toy"):
        obtain(task_of(), tmp_path)


def test_the_folder_is_the_one_that_is_there(tmp_path: Path) -> None:
    task = plain()
    assert folder_of(task, tmp_path / "no") == tmp_path / "no" / "toy"
    (tmp_path / "pair" / "toy").mkdir(parents=True)
    assert folder_of(task, tmp_path) == tmp_path / "pair" / "toy"
    assert folder_of(task, tmp_path / "pair" / "toy") == tmp_path / "pair" / "toy"
    (tmp_path / "toy").mkdir()
    with pytest.raises(UserError, match="several folders"):
        folder_of(task, tmp_path)
