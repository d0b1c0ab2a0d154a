"""The version of this servemark, as it was installed."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version


def version() -> str:
    """The version of the installed package; "unknown" in a source tree that was never installed."""
    try:
        return installed_version("servemark")
    except PackageNotFoundError:
        return "unknown"
