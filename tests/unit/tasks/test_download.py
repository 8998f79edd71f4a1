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
    with pytest.raises(UserError, match="damaged archive: File is not a zip file"):
        unpack(path, {"dev.json": "dev.json"}, tmp_path)
    raw = bytearray(write_zip(path, {"dev.json": os.urandom(500)}))
    raw[200] ^= 255
    path.write_bytes(raw)
    with pytest.raises(UserError, match=r"damaged archive: member dev\.json cannot .* \(Bad CRC"):
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


NEW = b'{"label": "2"}\n'


def zip_of_known(*, archive_first: bool = True) -> Task:
    """A task whose dev.json has a known checksum by itself and is in an archive too."""
    members = {"train.json": "train.json", "dev.json": "dev.json"}
    packed = Download("https://x/toy.zip", "toy.zip", members=members)
    bare = Download("https://x/dev.json", "dev.json", sha256(DEV))
    return task_of(*((packed, bare) if archive_first else (bare, packed)))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("task", [plain(), zip_of_known()], ids=["by its names", "a download"])
def test_a_member_of_an_archive_at_hand_is_compared(tmp_path: Path, task: Task) -> None:
    given, folder = tmp_path / "x.zip", tmp_path / "toy"
    write_zip(given, {"a/train.json": TRAIN, "a/dev.json": NEW})
    with pytest.raises(UserError) as caught:
        obtain(task, folder, given=given)
    rejected = folder / "dev.json.rejected"
    for words in (
        *(f"{given}: dev.json: sha256 {sha256(NEW)}; expected {sha256(DEV)}", str(rejected)),
        "--accept-changed",
    ):
        assert words in str(caught.value)
    assert names_in(folder) == ["dev.json.rejected", RECORD]
    assert rejected.read_bytes() == NEW
    got = obtain(task, folder, given=given, accept_changed=True)
    notes = {"train.json": "unverified: no checksum is known"}
    assert {one.file: one.note for one in got} == {
        **notes,
        "dev.json": "another checksum, accepted",
    }
    assert names_in(folder) == ["dev.json", RECORD, "train.json"]
    known = json.loads((folder / RECORD).read_text())
    assert sorted(known) == ["dev.json", "train.json"]
    assert not known["dev.json"]["verified"]
    write_zip(given, {"train.json": TRAIN, "dev.json": DEV})
    got = obtain(task, folder, given=given)
    assert {one.file: (one.state, one.note) for one in got} == {
        "train.json": ("there", notes["train.json"]),
        "dev.json": ("taken", "verified"),
    }
    known = json.loads((folder / RECORD).read_text())
    assert known["dev.json"]["verified"]
    assert not known["train.json"]["verified"]


def test_a_member_of_a_downloaded_archive_is_compared(server: Server, tmp_path: Path) -> None:
    folder, opener = tmp_path / "toy", leading_to(server.port)
    server.files["/toy.zip"] = write_zip(tmp_path / "a.zip", {"train.json": TRAIN, "dev.json": NEW})
    with pytest.raises(UserError) as caught:
        obtain(zip_of_known(), folder, open_url=opener)
    assert str(caught.value).startswith(
        f"https://x/toy.zip: dev.json: sha256 {sha256(NEW)}; expected {sha256(DEV)}"
    )
    assert names_in(folder) == ["dev.json.rejected", RECORD, "toy.zip.rejected"]
    got = obtain(zip_of_known(), folder, accept_changed=True, open_url=opener)
    assert [(one.file, one.state, one.note) for one in got] == [
        ("train.json", "downloaded", "unverified: no checksum is known"),
        ("dev.json", "downloaded", "another checksum, accepted"),
        ("dev.json", "there", "as it was obtained"),
    ]
    assert len(server.seen) == 1  # what was rejected is what is taken
    assert names_in(folder) == ["dev.json", RECORD, "train.json"]
    server.files["/toy.zip"] = write_zip(tmp_path / "a.zip", {"train.json": TRAIN, "dev.json": DEV})
    got = obtain(zip_of_known(), tmp_path / "new", open_url=opener)
    assert [one.note for one in got if one.file == "dev.json"] == ["verified", "verified"]


def test_a_rejected_member_that_is_accepted_later_keeps_its_origin(tmp_path: Path) -> None:
    given, folder = tmp_path / "x.zip", tmp_path / "toy"
    write_zip(given, {"dev.json": NEW})
    with pytest.raises(UserError, match="accept-changed"):
        obtain(plain(), folder, given=given)
    [got] = obtain(plain(), folder, accept_changed=True, open_url=leading_to(9))
    assert got.note == "changed by its publisher, accepted"
    known = json.loads((folder / RECORD).read_text())
    assert {name: one["from"] for name, one in known.items()} == {"dev.json": "x.zip"}
    assert names_in(folder) == ["dev.json", RECORD]


def test_a_member_of_an_absurd_size_is_refused(server: Server, tmp_path: Path) -> None:
    given, folder = tmp_path / "x.zip", tmp_path / "toy"
    with zipfile.ZipFile(given, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train.json", TRAIN)
        archive.writestr("dev.json", bytes(10_000))
        archive.getinfo("dev.json").file_size = (256 << 20) + 1
        archive.getinfo("dev.json").compress_size = 1 << 31  # no more than the archive has
    words = r"member dev.json would unpack from [\d,]+ to 268,435,457 bytes, more than 200 times"
    with pytest.raises(UserError, match=words):
        obtain(task_of(), folder, given=given)
    assert names_in(folder) == []
    server.files["/toy.zip"] = given.read_bytes()
    with pytest.raises(UserError, match=r"toy.zip.rejected: member dev.json would unpack"):
        obtain(zip_of_known(), folder, open_url=leading_to(server.port))
    assert names_in(folder) == ["toy.zip.rejected"]


def test_large_or_dense_alone_is_no_absurd_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.zip"
    write_zip(path, {"dev.json": bytes(1 << 20)})
    unpack(path, {"dev.json": "dev.json"}, tmp_path)
    monkeypatch.setattr(archives, "_LARGEST", 1000)
    with pytest.raises(UserError, match="more than 200 times"):
        unpack(path, {"dev.json": "dev.json"}, tmp_path)
    write_zip(path, {"dev.json": os.urandom(1 << 20)})
    unpack(path, {"dev.json": "dev.json"}, tmp_path)


@pytest.mark.parametrize("how", ["plain", "compressed", "zip"])
def test_a_file_at_hand_replaces_nobodys_own(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "toy"
    folder.mkdir()
    own = folder / ("dev.json.xz" if how == "compressed" else "dev.json")
    pack = lzma.compress if how == "compressed" else bytes
    own.write_bytes(pack(b"mine"))
    before = own.read_bytes()
    given = tmp_path / ("x.zip" if how == "zip" else "dev.json")
    given.write_bytes(DEV)
    if how == "zip":
        write_zip(given, {"train.json": TRAIN, "dev.json": DEV})
    for accept in (False, True):
        with pytest.raises(UserError) as caught:
            obtain(task_of(), folder, given=given, accept_changed=accept)
        assert str(caught.value).startswith(f"{own}: there already with other content")
        assert (names_in(folder), own.read_bytes()) == ([own.name], before)
    own.write_bytes(pack(DEV))  # right already
    got = obtain(task_of(), folder, given=given)
    assert Got(own.name, "there", note="unverified: no checksum is known") in got
    assert own.read_bytes() == pack(DEV)
    given.write_bytes(NEW)
    if how == "zip":
        write_zip(given, {"train.json": TRAIN, "dev.json": NEW})
    with pytest.raises(UserError, match="there already with other content"):
        obtain(task_of(), folder, given=given)


def test_what_an_earlier_get_put_there_is_replaced(tmp_path: Path) -> None:
    given, folder = tmp_path / "dev.json", tmp_path / "toy"
    given.write_bytes(DEV)
    obtain(task_of(), folder, given=given)
    packed = tmp_path / "dev.json.xz"
    packed.write_bytes(lzma.compress(NEW))
    assert [one.state for one in obtain(task_of(), folder, given=packed)] == ["taken"]
    assert names_in(folder) == ["dev.json.xz", RECORD]  # not both: the old one would be read
    (folder / "dev.json.xz").write_bytes(lzma.compress(b"changed since"))
    with pytest.raises(UserError, match="not put there by hanmo tasks get"):
        obtain(task_of(), folder, given=given)


def test_what_was_accepted_as_it_lay_there_is_somebodys_own(tmp_path: Path) -> None:
    given, folder = tmp_path / "dev.json", tmp_path / "toy"
    folder.mkdir()
    (folder / "dev.json").write_bytes(b"mine")
    obtain(plain(), folder, accept_changed=True)
    given.write_bytes(DEV)
    with pytest.raises(UserError, match="not put there by hanmo tasks get"):
        obtain(plain(), folder, given=given)
    given.write_bytes(b"mine")
    [got] = obtain(plain(), folder, given=given, accept_changed=True)
    assert got == Got("dev.json", "there", note="another checksum, accepted")


@pytest.mark.parametrize("task", [plain(), zip_of_known(), task_of()])
def test_damaged_archives_at_hand(tmp_path: Path, task: Task) -> None:
    given = tmp_path / "toy.zip"
    whole = write_zip(given, {"train.json": TRAIN, "dev.json": DEV})
    for damaged in (whole[:-30], whole[: len(whole) // 2], b"<html>", b""):
        given.write_bytes(damaged)
        with pytest.raises(UserError, match=r"toy.zip: damaged archive: .*; fetch it again$"):
            obtain(task, tmp_path / "toy", given=given)
    unnamed = tmp_path / "download"
    unnamed.write_bytes(whole[:-30])
    with pytest.raises(UserError, match="download: damaged archive: its end is missing"):
        obtain(task, tmp_path / "toy", given=unnamed)
    (tmp_path / "dev.json.xz").write_bytes(lzma.compress(DEV)[:-9])
    with pytest.raises(UserError, match=r"dev.json.xz: damaged archive"):
        obtain(task, tmp_path / "toy", given=tmp_path / "dev.json.xz")


def test_every_damaged_byte_ends_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    whole = write_zip(path, {"dev.json": DEV * 20})
    for place in range(len(whole)):
        raw = bytearray(whole)
        raw[place] ^= 255
        path.write_bytes(raw)
        try:
            unpack(path, {"dev.json": "dev.json"}, tmp_path)
        except UserError as error:
            assert str(error).startswith(f"{path}: ")
            assert not (tmp_path / ".dev.json.unpacking").exists()
        else:
            assert (tmp_path / "dev.json").read_bytes() == DEV * 20


def test_a_damaged_download_is_fetched_again(server: Server, tmp_path: Path) -> None:
    folder, opener = tmp_path / "toy", leading_to(server.port)
    server.files["/toy.zip"] = b"<html>"
    with pytest.raises(UserError, match=r"toy.zip.rejected: damaged archive"):
        obtain(zipped(b"", known=False), folder, open_url=opener)
    server.files["/toy.zip"] = write_zip(tmp_path / "a.zip", {"train.json": TRAIN, "dev.json": DEV})
    got = obtain(zipped(b"", known=False), folder, open_url=opener)
    assert {one.state for one in got} == {"downloaded"}


@pytest.mark.parametrize("task", [plain(), zip_of_known(), task_of()])
def test_links_are_not_taken(tmp_path: Path, task: Task) -> None:
    given, folder = tmp_path / "x.zip", tmp_path / "toy"
    link = zipfile.ZipInfo("a/dev.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(given, "w") as archive:
        archive.writestr("a/train.json", TRAIN)
        archive.writestr(link, b"train.json")
    with pytest.raises(UserError, match=r"x.zip: member a/dev.json is a link; links are not taken"):
        obtain(task, folder, given=given)
    assert names_in(folder) == []
