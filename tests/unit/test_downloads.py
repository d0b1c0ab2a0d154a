"""Downloads: whole or not at all, each thing that can go wrong named, nothing secret shown, nothing partial left."""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import ssl
import subprocess
import time

import pytest

from servemark.environments import downloads
from servemark.environments.cache import cache_dir
from servemark.environments.downloads import download
from servemark.errors import SetupError, UsageError

from ..web_server import redirecting, sending, web_server

BODY = b"PK\x03\x04" + bytes(range(256)) * 500
SECRET = "s3cr3t"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SERVEMARK_CACHE", str(tmp_path / "cache"))


def get(url, told=None, **options):
    return download(url, "the-url", (told if told is not None else []).append, starts_with=b"PK", **options)


def kept():
    return sorted(path.name for path in (cache_dir() / "downloads").glob("*") if path.suffix != ".json")


def refused(url, **options):
    """The message of the refusal, which holds no secret and leaves nothing in the cache."""
    with pytest.raises(SetupError) as error:
        get(url, **options)
    assert error.value.exit_status == 4
    assert SECRET not in f"{error.value} {error.value.detail}"
    assert kept() == []
    return str(error.value)


def test_a_file_is_kept_by_what_it_holds_and_its_size_and_checksum_are_known():
    told = []
    with web_server({"/Models/ResNet.mar": sending(BODY)}) as url:
        done = get(f"{url}/Models/ResNet.mar?token={SECRET}", told)  # Letter case is the server's to judge.
    assert done.path.read_bytes() == BODY
    assert (done.size_bytes, done.sha256) == (len(BODY), hashlib.sha256(BODY).hexdigest())
    assert kept() == [done.sha256]
    assert told == ["downloading the-url (0.1 MiB)"]
    assert not any(SECRET in path.read_text() for path in cache_dir().rglob("*.json"))


def test_letter_case_is_kept():
    with web_server({"/models/resnet.mar": sending(BODY)}) as url:
        assert "HTTP 404" in refused(f"{url}/Models/ResNet.mar")


def test_a_file_is_downloaded_again_only_if_the_server_says_that_it_changed():
    answers = []

    def answer(request):
        unchanged = request.headers.get("If-None-Match") == '"v1"'
        answers.append(unchanged)
        sending(b"" if unchanged else BODY, status=304 if unchanged else 200, ETag='"v1"')(request)

    with web_server({"/m": answer}) as url:
        told = []
        first, second = get(f"{url}/m"), get(f"{url}/m", told)
    assert first == second
    assert answers == [False, True]
    assert told == ["the-url has not changed: using what was downloaded before"]


def test_a_file_without_marks_is_downloaded_each_time_and_is_the_newest():
    bodies = [BODY, b"PK\x03\x04 newer"]
    with web_server({"/m": lambda request: sending(bodies.pop(0))(request)}) as url:
        get(f"{url}/m")
        assert get(f"{url}/m").path.read_bytes() == b"PK\x03\x04 newer"


def test_a_damaged_cache_is_not_trusted():
    with web_server({"/m": sending(BODY, ETag='"v1"')}) as url:
        get(f"{url}/m").path.write_bytes(b"PK cut")
        assert get(f"{url}/m").path.read_bytes() == BODY


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (sending(b"no", status=403), "cannot download the-url: HTTP 403 Forbidden; check that the URL has not expired"),
        (sending(b"no", status=500), "cannot download the-url: HTTP 500 Internal Server Error"),
        (
            sending(b"<!DOCTYPE html><title>PK</title>", kind="text/html; charset=utf-8"),
            "the-url is no archive: the server sent a web page (text/html); give the URL of the file itself",
        ),
        (sending(b"BM" + BODY), "the-url is no archive: the server sent b'BMPK"),
        (sending(b""), "the-url is no archive: the server sent nothing (application/octet-stream)"),
        (sending(b"P"), "the-url is no archive"),
        (sending(BODY, length=len(BODY) + 1), "cannot download the-url: the download is incomplete"),
        (sending(BODY, length=3_000_000_000), "the-url is too large: more than 2,048 MiB; download it by hand"),
        (redirecting("/m"), "cannot download the-url: it redirects in a circle, or more than 10 times"),
        (redirecting("file:///etc/passwd"), "it redirects to something that is neither http nor https"),
        (redirecting("ftp://127.0.0.1/x"), "it redirects to something that is neither http nor https"),
    ],
)
def test_what_goes_wrong_is_named(answer, message):
    with web_server({"/m": answer}) as url:
        assert message in refused(f"{url}/m?token={SECRET}")


def test_a_missing_page_is_named():
    with web_server({}) as url:
        assert "cannot download the-url: HTTP 404 Not Found; check it" in refused(f"{url}/m?token={SECRET}")


def test_a_body_that_is_longer_than_allowed_is_not_read_to_its_end():
    with web_server({"/m": sending(BODY, length=-1)}) as url:
        assert "the-url is too large" in refused(f"{url}/m", largest_bytes=len(BODY) - 1)


def test_a_download_has_a_time_limit_in_all():
    def slow(request):
        sending(BODY, length=len(BODY) + 1000)(request)
        for _ in range(100):
            request.wfile.write(b"x")
            time.sleep(0.05)

    with web_server({"/m": slow}) as url:
        assert "takes too long to download: it was not complete after 0.3 s" in refused(f"{url}/m", longest_s=0.3)


def test_a_server_that_falls_silent_is_named():
    with web_server({"/m": lambda _: time.sleep(1)}) as url:
        assert "cannot download the-url: nothing came for 0.2 s" in refused(f"{url}/m", longest_s=0.2)


def test_a_refused_connection_is_named():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://user:{SECRET}@127.0.0.1:{unused.getsockname()[1]}/m"
        assert "Connection refused; check the URL, the network and the proxy settings" in refused(url)


def test_an_untrusted_certificate_is_refused_and_a_trusted_one_is_not(tmp_path, monkeypatch):
    certificate, key = tmp_path / "own.pem", tmp_path / "own.key"
    subject = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    subprocess.run(
        ["openssl", "req", "-x509", *kind, *subject, "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with web_server({"/m": sending(BODY)}, (certificate, key)) as url:
        message = refused(f"{url}/m")
        assert "certificate" in message
        assert message.endswith("set SSL_CERT_FILE to the certificate of the authority that signed it")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert get(f"{url}/m").size_bytes == len(BODY)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", f"socks5://user:{SECRET}@127.0.0.1:1080"),
        ("all_proxy", "socks4://127.0.0.1:1080"),
        ("HTTP_PROXY", f"http://user:{SECRET}@127.0.0.1:port"),
        ("HTTPS_PROXY", "http://[::1"),
        ("HTTP_PROXY", f"foo://{SECRET}"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_in_one_line(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    message = refused("http://192.0.2.1/m")
    assert message.startswith(f"cannot download the-url: the proxy settings ({name}) cannot be used")
    assert "HTTPS_PROXY" in message
    assert ("socks" in value) is ("proxies are not spoken" in message and "socks" in message)


def test_a_companys_authority_need_not_say_what_its_key_is_for(tmp_path, monkeypatch):
    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True)

    real = ssl.create_default_context

    def strict(*args, **options):  # as Python does from 3.13 on
        context = real(*args, **options)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    (tmp_path / "config").write_text("[req]\ndistinguished_name = name\n[name]\n[ca]\nbasicConstraints = CA:TRUE\n")
    own = ["-config", "config", "-extensions", "ca"]
    openssl("req", "-x509", *key, *own, "-subj", "/CN=company", "-days", "2", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", *key, "-subj", "/CN=server", "-config", "config", "-keyout", "own.key", "-out", "own.csr")
    (tmp_path / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    issue = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"]
    openssl("x509", "-req", "-in", "own.csr", "-out", "own.pem", *issue)
    (tmp_path / "folder").mkdir()
    (tmp_path / "ca.pem").rename(tmp_path / "folder" / "company.pem")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "folder"))
    with web_server({"/m": sending(BODY)}, (tmp_path / "own.pem", tmp_path / "own.key")) as url:
        assert get(f"{url}/m").size_bytes == len(BODY)


def test_a_url_that_nobody_can_use_is_a_usage_error():
    with pytest.raises(UsageError, match="the URL the-url cannot be used"):
        get(f"http://127.0.0.1/{SECRET}\n")


def test_what_a_killed_download_left_is_swept_and_a_living_one_is_not():
    folder = cache_dir() / "downloads"
    folder.mkdir(parents=True)
    here = downloads._this_start()
    (folder / f"{here}dead.partial").write_bytes(b"half")
    for name in ("elsewhere.partial", "long-ago.partial"):  # by machines whose locks are not seen here
        (folder / name).write_bytes(b"half")
    os.utime(folder / "long-ago.partial", (0, 0))
    with (folder / f"{here}alive.partial").open("wb") as alive, web_server({"/m": sending(BODY)}) as url:
        fcntl.flock(alive, fcntl.LOCK_EX)
        done = get(f"{url}/m")
    assert kept() == sorted([f"{here}alive.partial", "elsewhere.partial", done.sha256])


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SERVEMARK_CACHE", str(tmp_path / "file"))
    with pytest.raises(SetupError, match=r"cannot write in the cache .*Not a directory"):
        get("http://127.0.0.1:9/m")
