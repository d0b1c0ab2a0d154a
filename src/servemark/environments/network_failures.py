"""What installers print when the network is at fault: nothing there to reach, or a certificate that is not trusted.

The second is mostly a company's proxy, which opens every connection and closes it again with a certificate of its own:
who is told to check the network finds nothing wrong with it. Standard library only: ``benchmark.py`` sets up with it.
"""

from __future__ import annotations

import re

#: pip and Python, uv and cargo and other Rust, Java, Go (Docker), curl and git.
_UNTRUSTED = re.compile(
    r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|invalid peer certificate|UnknownIssuer|self[- ]signed certif"
    r"|PKIX path (?:building|validation) failed|unable to find valid certification path"
    r"|x509: certificate signed by unknown authority|SSL certificate problem|unable to get local issuer certificate",
    re.IGNORECASE,
)
_UNREACHABLE = re.compile(
    r"failed to establish|name resolution|name or service not known|nodename nor servname|network is unreachable"
    r"|NewConnectionError|connection broken by|connecttimeout|timed out|proxyerror|error sending request|dns error"
    r"|failed to fetch|spurious network error|failed to download|could not resolve host|unknown host"
    r"|connection refused|could not transfer|offline mode",
    re.IGNORECASE,
)

#: What is said of a certificate that is not trusted, and what to do about it.
UNTRUSTED = "a certificate on the way is not trusted (CERTIFICATE_VERIFY_FAILED), as behind a company's proxy"
TRUST_IT = "give the file of the company's authority: export PIP_CERT=FILE SSL_CERT_FILE=FILE CARGO_HTTP_CAINFO=FILE"
TRUST_IT_IN_JAVA = (
    "give Java the company's authority: import it with keytool, and export "
    "JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStore=KEYSTORE"
)


def is_untrusted(output: str) -> bool:
    """Whether a program that printed `output` did not trust a certificate."""
    return bool(_UNTRUSTED.search(output))


def is_unreachable(output: str) -> bool:
    """Whether a program that printed `output` could not reach what it wanted to download."""
    return bool(_UNREACHABLE.search(output))
