"""Downloads: a file from an http(s) URL, streamed into the user's cache, whole or not at all.

Files are kept by what they hold (SHA-256). Which one a URL gave is remembered with the marks by which the server can
say that it has not changed (ETag, Last-Modified); without them it is downloaded again.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx

from servemark.environments import locks
from servemark.environments.authorities import system_authorities, trusting
from servemark.environments.cache import Progress, cache_dir, cache_error
from servemark.errors import SetupError, UsageError
from servemark.units import BYTES_PER_MIB

#: The largest file that is downloaded, and the longest that it may take.
LARGEST_BYTES = 2048 * BYTES_PER_MIB
LONGEST_S = 1800.0
_STALLED_S = 60.0
_MOST_REDIRECTS = 10
_TELL_EVERY_S = 10.0
_PARTIAL = ".partial"
_PROXIES = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
_NOT_MODIFIED = 304


@dataclass(frozen=True)
class Download:
    """A file in the cache: where it is, how long, and its SHA-256 in hexadecimal."""

    path: Path
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class _Known:
    """What a URL gave the last time."""

    download: Download
    etag: str
    last_modified: str

    @property
    def headers(self) -> Mapping[str, str]:
        """What asks for the file only if it has changed."""
        asked = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in asked.items() if value}


def download(
    url: str,
    shown: str,
    progress: Progress,
    *,
    starts_with: bytes = b"",
    largest_bytes: int = LARGEST_BYTES,
    longest_s: float = LONGEST_S,
) -> Download:
    """The file at `url`, which messages call `shown`: a URL may hold a password or a token.

    What does not begin with `starts_with` is refused with its first bytes.

    Raises:
        UsageError: `url` cannot be used.
        SetupError: it could not be had, or the cache cannot be written; nothing partial is left.
    """
    folder = cache_dir() / "downloads"
    limits = _Limits(largest_bytes, longest_s, time.monotonic() + longest_s)
    timeout = httpx.Timeout(min(_STALLED_S, longest_s))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        known = _known(folder, url)
        with (
            _explained(shown, min(_STALLED_S, longest_s)),
            _client(shown, timeout) as client,
            client.stream(
                "GET", url, headers={"Accept-Encoding": "identity", **(known.headers if known else {})}
            ) as response,
        ):
            if known and response.status_code == _NOT_MODIFIED:
                progress(f"{shown} has not changed: using what was downloaded before")
                return known.download
            _check(response, shown, limits)
            return _stream(response, folder, url, shown, starts_with, limits, progress)
    except OSError as error:
        raise cache_error(f"cannot write in the cache {folder}", error) from error


def _client(shown: str, timeout: httpx.Timeout) -> httpx.Client:
    """What downloads: through the proxies of our environment, trusting what this system trusts.

    Raises:
        SetupError: a proxy cannot be used.
    """
    trusted = trusting(system_authorities())
    try:
        return httpx.Client(follow_redirects=True, max_redirects=_MOST_REDIRECTS, timeout=timeout, verify=trusted)
    except (ImportError, ValueError, httpx.InvalidURL):  # a kind of proxy that httpx cannot, or what is none
        named = sorted(name for name in os.environ if name.lower() in _PROXIES and os.environ[name])
        kinds = {os.environ[name].partition("://")[0] for name in named if "://" in os.environ[name]}
        odd = sorted(kind for kind in kinds if kind.lower() not in ("http", "https"))
        raise SetupError(
            f"cannot download {shown}",
            cause=f"the proxy settings ({', '.join(named)}) cannot be used"
            + (f": {odd[0]} proxies are not spoken" if odd else ""),
            next_step="set HTTPS_PROXY to http://HOST:PORT and unset ALL_PROXY, or download it by hand",
        ) from None  # what it says may hold the proxy's password


@dataclass(frozen=True)
class _Limits:
    largest_bytes: int
    longest_s: float
    deadline_s: float

    def check_size(self, size_bytes: int, shown: str) -> None:
        if size_bytes > self.largest_bytes:
            raise SetupError(
                f"{shown} is too large",
                cause=f"more than {self.largest_bytes / BYTES_PER_MIB:,.0f} MiB",
                next_step="download it by hand and give the path",
            )

    def check_time(self, shown: str) -> None:
        if time.monotonic() > self.deadline_s:
            raise SetupError(
                f"{shown} takes too long to download",
                cause=f"it was not complete after {self.longest_s:g} s",
                next_step="download it by hand and give the path",
            )


def _check(response: httpx.Response, shown: str, limits: _Limits) -> None:
    """Refuse what says by its head that it is not the file."""
    if response.status_code != httpx.codes.OK:
        steps = {401: "put user:password@ before the host", 403: "check that the URL has not expired", 404: "check it"}
        raise SetupError(
            f"cannot download {shown}",
            cause=f"HTTP {response.status_code} {response.reason_phrase}".strip(),
            next_step=steps.get(response.status_code, "try again later, or download it by hand and give the path"),
        )
    length = response.headers.get("Content-Length", "")
    if length.isdigit():
        limits.check_size(int(length), shown)


def _stream(
    response: httpx.Response,
    folder: Path,
    url: str,
    shown: str,
    starts_with: bytes,
    limits: _Limits,
    progress: Progress,
) -> Download:
    """Write the body into `folder`, under the name that its content gives it, and remember it."""
    digest, size, told_s = hashlib.sha256(), 0, time.monotonic()
    length = response.headers.get("Content-Length", "")
    of = f" of {int(length) / BYTES_PER_MIB:,.1f}" if length.isdigit() else ""
    progress(f"downloading {shown}" + (f" ({int(length) / BYTES_PER_MIB:,.1f} MiB)" if of else ""))
    with _partial_file(folder) as (file, path):
        head = b""
        for chunk in response.iter_bytes():
            head = _checked_head(head, chunk, starts_with, response, shown)
            size += len(chunk)
            limits.check_size(size, shown)
            limits.check_time(shown)
            digest.update(chunk)
            file.write(chunk)
            if time.monotonic() - told_s > _TELL_EVERY_S:
                told_s = time.monotonic()
                progress(f"downloading {shown}: {size / BYTES_PER_MIB:,.1f}{of} MiB")
        if len(head) < len(starts_with):
            raise _wrong_type(head, response, shown)
        file.flush()
        done = Download(folder / digest.hexdigest(), size, digest.hexdigest())
        path.replace(done.path)
    _remember(folder, url, _Known(done, response.headers.get("ETag", ""), response.headers.get("Last-Modified", "")))
    return done


def _checked_head(head: bytes, chunk: bytes, wanted: bytes, response: httpx.Response, shown: str) -> bytes:
    """The first bytes so far; refused as soon as they are not the wanted ones, not after all of a large file."""
    if len(head) >= len(wanted):
        return head
    head += chunk[:64]
    if head[: len(wanted)] != wanted[: len(head)]:
        raise _wrong_type(head, response, shown)
    return head


def _wrong_type(head: bytes, response: httpx.Response, shown: str) -> SetupError:
    sent = response.headers.get("Content-Type", "").split(";")[0] or "no content type"
    kind = "a web page" if sent == "text/html" or head.lstrip()[:1] == b"<" else repr(head[:16]) if head else "nothing"
    return SetupError(
        f"{shown} is no archive",
        cause=f"the server sent {kind} ({sent})",
        next_step="give the URL of the file itself, not of a page about it",
    )


@contextmanager
def _explained(shown: str, stalled_s: float) -> Iterator[None]:
    """Name what went wrong on the way; those of httpx's texts that may hold the URL are left out."""
    step = "check the URL, the network and the proxy settings"
    try:
        yield
    except httpx.TooManyRedirects:
        cause, step = f"it redirects in a circle, or more than {_MOST_REDIRECTS} times", "give the URL where it ends"
    except httpx.UnsupportedProtocol:
        cause, step = "it redirects to something that is neither http nor https", "give the URL where it ends"
    except httpx.InvalidURL:
        raise UsageError(f"the URL {shown} cannot be used", next_step="give http(s)://HOST/PATH") from None
    except httpx.TimeoutException:
        cause = f"nothing came for {stalled_s:g} s"
    except httpx.RemoteProtocolError as error:
        cause, step = f"the download is incomplete ({error})", "try again, or download it by hand and give the path"
    except httpx.ConnectError as error:
        cause = str(error)
        if _is_certificate(error):
            step = "set SSL_CERT_FILE to the certificate of the authority that signed it"
    except httpx.HTTPError as error:
        cause = str(error) or type(error).__name__
    else:
        return
    raise SetupError(f"cannot download {shown}", cause=cause, next_step=step)


def _is_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
            return True
        error = error.__cause__
    return False


@contextmanager
def _partial_file(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file and its path, locked while it is written, and removed at the end unless it was renamed."""
    path = folder / f"{_this_start()}{secrets.token_hex(8)}{_PARTIAL}"
    try:  # before it is there: an interruption may come at any time
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            locks.lock(file)
            yield file, path
    finally:
        path.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove what downloads left that were killed: nobody holds their lock.

    Of another machine that shares the cache, or an earlier start of this one, no lock is seen: what those left is
    removed once no download can take so long.
    """
    for path in folder.glob(f"*{_PARTIAL}"):
        with suppress(FileNotFoundError):
            if not path.name.startswith(_this_start()):
                if time.time() - path.stat().st_mtime > LONGEST_S:
                    path.unlink()
            elif not locks.is_locked(path):
                path.unlink()


def _this_start() -> str:
    """What the names of partial files begin with that the kernel of this machine knows the locks of."""
    return f"{hashlib.sha256(locks.here().boot.encode()).hexdigest()[:8]}-"


def _index(folder: Path, url: str) -> Path:
    return folder / f"{hashlib.sha256(url.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}.json"


def _known(folder: Path, url: str) -> _Known | None:
    """What `url` gave, if that is still in the cache and its server can be asked whether it has changed."""
    try:
        facts = json.loads(_index(folder, url).read_text(encoding="utf-8"))
        path = folder / str(facts["sha256"])
        known = _Known(Download(path, facts["size_bytes"], facts["sha256"]), facts["etag"], facts["last_modified"])
        return known if known.headers and path.stat().st_size == known.download.size_bytes else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(folder: Path, url: str, known: _Known) -> None:
    index = _index(folder, url)
    facts = {
        "sha256": known.download.sha256,
        "size_bytes": known.download.size_bytes,
        "etag": known.etag,
        "last_modified": known.last_modified,
    }
    unfinished = index.with_suffix(f".{os.getpid()}.new")
    unfinished.write_text(json.dumps(facts), encoding="utf-8")
    unfinished.replace(index)
