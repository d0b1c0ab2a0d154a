"""Which variables of our environment the programs that we start inherit.

Java, Python, the runtimes of models, Multi Model Server and pip all read settings from there, and those win over what
we tell them: a server would be measured with another's configuration, or with as many threads as a shell happened to
export. So what steers one of them is left out by name; proxies, certificates, the locale, HOME, PATH, the choice of
GPUs and the package index stay, as does everything else, which a model's handler may need. Standard library only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path

#: Options of any Java that is started; behind a proxy it is where many keep what Maven and Gradle need to download.
JVM_OPTIONS = ("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS")

_LEFT_OUT = re.compile(
    "|".join(
        (
            # Java, its compiler and what logs in it.
            *JVM_OPTIONS,
            *("JDK_JAVAC_OPTIONS", "JAVA_OPTS", "JVM_ARGS", "CLASSPATH", "IBM_JAVA_OPTIONS", "OPENJ9_JAVA_OPTIONS"),
            r"LOG4J_\w+",
            # Python: other packages, other files, another interpreter's environment.
            *(r"PYTHON\w*", "__PYVENV_LAUNCHER__", "VIRTUAL_ENV", "CONDA_PREFIX"),
            # What computes: the number of threads, and how.
            *(r"OMP_\w+", r"GOMP_\w+", r"KMP_\w+", r"MKL_\w+", r"OPENBLAS_\w+", r"GOTO_\w+", r"BLIS_\w+"),
            *(r"VECLIB_\w+", r"NUMEXPR_\w+", r"MXNET_\w+", r"DMLC_\w+", r"DNNL_\w+", r"MKLDNN_\w+", r"ORT_\w+"),
            "CUDA_LAUNCH_BLOCKING",
            # Multi Model Server, and TorchServe, which came of it.
            *(r"MMS_\w+", r"TS_\w+", "LOG_LOCATION", "METRICS_LOCATION"),
            # JMeter's start script.
            *(r"JMETER_\w+", r"JM_\w+", "HEAP", "GC_ALGO"),
            # git: another repository than the folder's.
            *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE"),
        )
    )
)
#: Of pip and uv only what says where packages come from and how they are reached is kept: the rest changes what is
#: installed, and where to.
_INSTALLERS = re.compile(r"(?:PIP|UV)_\w+")
_INDEX = re.compile(
    r"PIP_(?:INDEX_URL|EXTRA_INDEX_URL|FIND_LINKS|NO_INDEX|TRUSTED_HOST|CERT|CLIENT_CERT|PROXY|CONFIG_FILE|CACHE_DIR"
    r"|NO_CACHE_DIR|TIMEOUT|DEFAULT_TIMEOUT|RETRIES|RESUME_RETRIES|KEYRING_PROVIDER|NO_INPUT|USE_FEATURE|USE_DEPRECATED"
    r"|DISABLE_PIP_VERSION_CHECK|ROOT_USER_ACTION)"
    r"|UV_(?:\w*INDEX\w*|FIND_LINKS|NATIVE_TLS|SYSTEM_CERTS|INSECURE_HOST|KEYRING_PROVIDER|CACHE_DIR|NO_CACHE"
    r"|CONFIG_FILE|HTTP_TIMEOUT|REQUEST_TIMEOUT|HTTP_RETRIES|CONCURRENT_\w+|LINK_MODE|OFFLINE|DEFAULT_INDEX)"
)
#: Whose values the result may hold: none of them carries a secret, and each can change what is measured.
_SHOWN = re.compile(
    r"LANG|LANGUAGE|LC_\w+|TZ|PATH|LD_LIBRARY_PATH|LD_PRELOAD|GLIBC_TUNABLES|MALLOC_\w+|CUDA_\w+|NVIDIA_\w+"
    r"|SERVEMARK_WORKER_THREADS"
)
_UTF_8 = re.compile(r"utf-?8", re.IGNORECASE)


def inherited(environ: Mapping[str, str] | None = None, *, keep: Collection[str] = ()) -> dict[str, str]:
    """What a program that we start gets of `environ` (ours); `keep` names what it gets although it is left out else."""
    given = os.environ if environ is None else environ
    return {name: value for name, value in given.items() if name in keep or not _is_left_out(name)}


def passed_on(environ: Mapping[str, str] | None = None, *, keep: Collection[str] = ()) -> Mapping[str, object]:
    """What the result says: what is inherited, with values that are no secret (else null), and what was left out."""
    given = os.environ if environ is None else environ
    kept = inherited(given, keep=keep)
    shown = {name: value if name in keep or _SHOWN.fullmatch(name) else None for name, value in sorted(kept.items())}
    return {"inherited": shown, "left_out": sorted(set(given) - set(kept))}


def locale_for(folder: Path, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """What makes Java read and write files below `folder`: in the locale C it knows no letters but ASCII's."""
    given = os.environ if environ is None else environ
    locale = next((given[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if given.get(name)), "")
    return {} if str(folder).isascii() or _UTF_8.search(locale) else {"LC_ALL": "C.UTF-8"}


def path_with(*homes: Path) -> str:
    """PATH with the programs of `homes`, which are in their ``bin``, before all others."""
    return os.pathsep.join([*(str(home / "bin") for home in homes), os.environ.get("PATH", os.defpath)])


def _is_left_out(name: str) -> bool:
    if _INSTALLERS.fullmatch(name):
        return not _INDEX.fullmatch(name)
    return bool(_LEFT_OUT.fullmatch(name))
