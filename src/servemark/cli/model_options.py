"""The options of a model of the user's, of what its handler imports, and of how inputs are sent.

Standard library only, as ``cli/options.py``.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from servemark.errors import UsageError
from servemark.servers.choice import check_server_python
from servemark.zoo.model_source import model_source


def add_custom_model(parser: argparse.ArgumentParser) -> None:
    """Add the options of this file to `parser`."""
    group = parser.add_argument_group("your own model")
    group.add_argument("-c", "--custom-model", metavar="URL|PATH", help="your own .mar or .model instead of -m")
    group.add_argument(
        "--server-requirements", metavar="FILE", type=Path, help="pip requirements: what its handler imports"
    )
    group.add_argument(
        "--server-python", metavar="PATH", type=Path, help="a Python with the server and what its handler imports"
    )
    group.add_argument(
        "--content-type", metavar="T", type=_content_type, help="of the input (default: by the file's suffix)"
    )
    group.add_argument(
        "--multipart", metavar="FIELD", type=_field_name, help="send the input as that field of a form, e.g. data"
    )


def check_custom_model(arguments: argparse.Namespace) -> None:
    """Refuse what can be refused of ``-c`` and of the server's Python without looking further.

    Raises:
        UsageError: it contradicts itself, or names what does not exist.
    """
    check_server_python(
        custom_model=arguments.custom_model is not None,
        requirements=arguments.server_requirements,
        python=arguments.server_python,
        running=arguments.mms,
        docker=arguments.docker,
        image=arguments.docker_image,
    )
    if arguments.custom_model is None:
        return
    if arguments.model is not None:
        raise UsageError("-c and -m do not go together", cause="one benchmark measures one model")
    model_source(arguments.custom_model)


def _content_type(text: str) -> str:
    """A converter for media types: ``image/jpeg``, ``text/plain; charset=utf-8``."""
    if not re.fullmatch(r"[\w!#$&^.+-]+/[\w!#$&^.+*-]+(\s*;[ -~]*)?", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not a content type such as image/jpeg")
    return text


def _field_name(text: str) -> str:
    """A converter for names of a form's fields."""
    if not text or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} is not a field's name such as data")
    return text
