"""The words of a command line that are no options: the benchmark's name, a URL, and what was meant by any other.

Standard library only, as ``cli/options.py``.
"""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from servemark.benchmarks import catalogue
from servemark.cli.parser import Parser
from servemark.errors import UsageError
from servemark.options.kinds import nearest
from servemark.workload.endpoint import without_user
from servemark.workload.headers import carries_secrets
from servemark.zoo.catalogue import find

_PLACE = re.compile(r"(?:\[[0-9a-fA-F:.%]+\]|[\w.-]+):\d+")
#: Words that come before what authorizes: behind them there is more.
_SCHEMES = {"bearer", "basic", "digest", "token", "negotiate", "apikey"}


def settle_words(arguments: Namespace, left: Sequence[str], parser: Parser) -> None:
    """Put `left`, what `parser` found no place for, where it belongs: a URL behind ``http`` is that of ``--url``.

    Raises:
        UsageError: it belongs nowhere; says what seems to be meant.
    """
    for word in left:
        if word.startswith("-") and len(word) > 1:
            raise parser.unknown(word)
    words = ([] if arguments.benchmark is None else [arguments.benchmark]) + list(left)
    urls = [word for word in words if "://" in word]
    names = [word for word in words if "://" not in word]
    _check_header(arguments.header, names)
    if urls:
        _take_url(arguments, urls, names)
    arguments.benchmark = names[0] if names else None
    if len(names) > 1:
        raise _too_many(names, parser.prog)


def benchmark_meant(word: str, prog: str) -> str:
    """What to give instead of `word`, which is no benchmark."""
    from servemark.cli import SUBCOMMANDS

    if find(word) is not None:
        return f"a model goes behind -m: {prog} latency -m {word}"
    if word in SUBCOMMANDS:
        return f"it is a command of its own: {prog.removesuffix(' run')} {word} -h"
    return nearest(word, catalogue(), SUBCOMMANDS)


def _take_url(arguments: Namespace, urls: Sequence[str], names: Sequence[str]) -> None:
    shown = without_user(urls[0])
    if arguments.all or arguments.suite is not None:
        raise UsageError("a suite takes no URL", next_step="each of its benchmarks has its own; or give --url")
    if not names:
        raise UsageError("which benchmark?", next_step=f"any URL is measured by http: http {shown}")
    known = catalogue()
    if names[0] in known and not known[names[0]].takes_url:
        raise UsageError(
            f"{names[0]} takes no URL",
            next_step=f"measure any URL with http {shown}, a model server that runs already with --server HOST:PORT",
        )
    if len(urls) > 1 or "url" in arguments.given:
        raise UsageError("the URL is given twice", next_step="give it once")
    arguments.url = urls[0]
    arguments.given |= {"url"}


def _check_header(headers: Sequence[str], names: Sequence[str]) -> None:
    """Find a header without quotes, which the shell took apart. What is left of it may be secret, and is not shown."""
    if all(word in catalogue() for word in names):
        return
    for header in headers:
        name, colon, value = header.partition(":")
        is_cut = not value.strip() or value.strip().lower() in _SCHEMES
        if colon and (is_cut or (carries_secrets(name) and not re.search(r"\s", value))):
            raise UsageError(
                f"the words behind -H {name}: belong to nothing",
                next_step=f"-H takes one word, so quote it: -H '{name}: VALUE'",
            )


def _too_many(names: Sequence[str], prog: str) -> UsageError:
    """The refusal of more words than the benchmark; with what the first that is none seems to be."""
    known = catalogue()
    strangers = [word for word in names if word not in known]
    if not strangers:
        return UsageError(
            f"one benchmark at a time, not {' and '.join(names)}",
            next_step="run one after the other; a suite has several: --all, or --suite FILE",
        )
    word = strangers[0]
    benchmark = next((name for name in names if name in known), None)
    meant = f"see {prog} -h"
    if benchmark and known[benchmark].takes_url and re.search(r"[.:/]", word):
        meant = f"a URL begins with http:// or https://: {benchmark} http://{word}"
    elif find(word) is not None:
        meant = f"a model goes behind -m: -m {word}"
    elif _PLACE.fullmatch(word):
        meant = f"a server that runs already goes behind --server: --server {word}"
    elif Path(word).exists():
        meant = f"an input goes behind -i: -i {word}"
    return UsageError(f"unrecognized arguments: {word}", next_step=meant)
