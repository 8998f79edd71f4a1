"""Fetch a file over https: under a temporary name, resumed after a kill, with progress.

In: an address and a path. Out: the file at that path; beside it, until it is complete, PATH.json
says which version of the file the bytes so far are of. Checking it is the caller's (`obtain.py`).
Nothing but https is opened, also where a server redirects to.

    fetch("https://…/dev.json", Path("data/ocnli/.dev.json.partial"), advice="see https://…")
"""

import contextlib
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from hanmo import __version__
from hanmo.core.errors import UserError
from hanmo.core.files import MEBIBYTE, write_json
from hanmo.core.log import Progress

# Takes a request and the longest silence in seconds; gives an `http.client.HTTPResponse`.
Open: TypeAlias = Callable[[urllib.request.Request, float], Any]

_SILENCE = 60.0
_CHUNK = 1 << 16
_PARTIAL, _RANGE = 206, 416
_AGAIN = "the same command continues"


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https alone."""

    def redirect_request(  # noqa: PLR0917 - the library's
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Return the request to go on with."""
        check_https(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def check_https(url: str) -> None:
    """Raise a `UserError` unless an address is https."""
    if urllib.parse.urlsplit(url).scheme != "https":
        raise UserError(f"{url}: expected an address that begins with https://")


def open_https(request: urllib.request.Request, timeout: float) -> Any:
    """Open an https address; $https_proxy counts.

    Raises:
        UserError: another scheme, here or where the server redirects to.
    """
    check_https(request.full_url)
    return urllib.request.build_opener(_HttpsOnly).open(request, timeout=timeout)


def fetch(
    url: str, path: Path, *, advice: str, checked: bool = False, open_url: Open | None = None
) -> None:
    """Download a file, or the rest of it.

    Args:
        url: https; may hold Chinese.
        path: where to; what an earlier call left there is continued if the file is the same.
        advice: what to do when it cannot be had; ends the messages.
        checked: a checksum will be compared, so that a server that does not name versions of its
            files can be asked for the rest.
        open_url: opens addresses; default: `open_https`.

    Raises:
        UserError: no connection, not found, cut off (the next call continues), or not https.
    """
    state = path.with_name(f"{path.name}.json")
    begin, version, size = _so_far(url, path, state, checked=checked)
    if size is not None and begin == size:
        return
    headers = {"User-Agent": f"hanmo/{__version__}", "Accept-Encoding": "identity"}
    if begin:
        headers["Range"] = f"bytes={begin}-"
        if version:
            headers["If-Range"] = version
    request = urllib.request.Request(urllib.parse.quote(url, safe=":/?&=%#+,;@"), headers=headers)
    response = _opened(request, open_url or open_https, advice)
    if response is None:  # what is there is longer than the file
        path.unlink()
        fetch(url, path, advice=advice, checked=checked, open_url=open_url)
        return
    with contextlib.closing(response):
        begin = _begin(response, begin)
        length = response.headers.get("Content-Length")
        total = begin + int(length) if length else None
        with path.open("ab" if begin else "wb") as stream:
            write_json(state, {"url": url, "version": _version(response), "size": total})
            name = urllib.parse.unquote(url.rsplit("/", 1)[-1])
            whole = total / MEBIBYTE if total else None
            with Progress(f"get {name}", whole, "MiB") as bar:
                bar.skip(begin / MEBIBYTE)
                for chunk in _chunks(response, url):
                    stream.write(chunk)
                    bar.advance(len(chunk) / MEBIBYTE)
    got = path.stat().st_size
    if total is not None and got != total:
        raise UserError(f"{url}: cut off after {got:,} of {total:,} bytes; {_AGAIN}")


def forget(path: Path, *, whole: bool = False) -> None:
    """Remove what `fetch` keeps beside a file, or the `whole` of it."""
    if whole:
        path.unlink(missing_ok=True)
    path.with_name(f"{path.name}.json").unlink(missing_ok=True)


def _so_far(
    url: str, path: Path, state: Path, *, checked: bool
) -> tuple[int, str | None, int | None]:
    """Return how many bytes are there, of which version, and how many there should be."""
    try:
        known = json.loads(state.read_text(encoding="utf-8"))
        begin = path.stat().st_size
    except (FileNotFoundError, json.JSONDecodeError):
        return 0, None, None
    if known.get("url") != url or not (checked or known.get("version")):
        return 0, None, None
    return begin, known.get("version"), known.get("size")


def _version(response: Any) -> str | None:
    """Return what names the bytes of a file for If-Range: a strong ETag, or else the date."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _begin(response: Any, asked: int) -> int:
    """Return where the bytes of an answer begin: at 0 unless the server gives what was asked."""
    if response.status != _PARTIAL:
        return 0
    place = response.headers.get("Content-Range", "")
    if not place.startswith(f"bytes {asked}-"):
        raise UserError(
            f"{response.url}: asked for bytes from {asked}, got {place!r}; remove the .partial "
            "file to begin again"
        )
    return asked


def _opened(request: urllib.request.Request, open_url: Open, advice: str) -> Any:
    """Open an address; None where the server does not have so many bytes."""
    url = urllib.parse.unquote(request.full_url)
    try:
        return open_url(request, _SILENCE)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == _RANGE and request.has_header("Range"):
            return None
        raise UserError(f"{url}: {error.code} {error.reason}; {advice}") from None
    except TimeoutError:
        raise UserError(f"{url}: no answer within {_SILENCE:.0f} s; {_AGAIN}; {advice}") from None
    except urllib.error.URLError as error:
        host = urllib.parse.urlsplit(url).netloc
        raise UserError(f"{url}: no connection to {host} ({error.reason}); {advice}") from None
    except (http.client.HTTPException, ConnectionError) as error:
        raise UserError(f"{url}: {type(error).__name__} ({error}); {_AGAIN}; {advice}") from None


def _chunks(response: Any, url: str) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise UserError(f"{url}: the connection broke ({error}); {_AGAIN}") from None
        if not chunk:
            return
        yield chunk
