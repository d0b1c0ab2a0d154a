"""The first error of a build, and all of its log."""

from __future__ import annotations

import pytest

from servemark.environments.build_log import BuildLog, first_error
from servemark.environments.commands import Finished

JAVAC = """Note: Some input files use unchecked or unsafe operations.
frontend/server/A.java:7: error: cannot find symbol
    Nothing x;
    ^
frontend/server/B.java:9: error: ';' expected
2 errors
FAILURE: Build failed with an exception.
* What went wrong:
Execution failed for task ':server:compileJava'.
> Compilation failed; see the compiler error output for details."""


@pytest.mark.parametrize(
    ("printed", "first"),
    [
        (JAVAC, "frontend/server/A.java:7: error: cannot find symbol"),
        ("error: invalid target release: 99\nUsage: javac", "error: invalid target release: 99"),
        (
            "A.java:3: warning: [rawtypes] found raw type\nerror: warnings found and -Werror specified\n1 error",
            "A.java:3: warning: [rawtypes] found raw type",
        ),
        (
            "> Configure project :server\n* What went wrong:\n> Could not find method compil() for arguments\n* Try:",
            "> Could not find method compil() for arguments",
        ),
        ('Downloading\nException in thread "main" java.lang.Error: x', 'Exception in thread "main" java.lang.Error: x'),
        ("ERROR: JAVA_HOME is set to an invalid directory: /x", "ERROR: JAVA_HOME is set to an invalid directory: /x"),
        ("one\ntwo", None),
        ("", None),
    ],
)
def test_the_first_error_is_found(printed: str, first: str | None) -> None:
    lines = printed.splitlines()
    at = first_error(lines)
    assert (lines[at] if at is not None else None) == first


def test_the_first_of_many_errors_is_shown_and_nothing_lost() -> None:
    told: list[str] = []
    log = BuildLog(told.append)
    printed = "\n".join(["compiling"] * 100 + [f"A.java:{number}: error: no {number}" for number in range(1, 101)])
    log.command("gradlew")
    log.printed(printed)
    error = log.failure("the build of X", Finished(1, printed), "JDK 17")
    assert str(error).startswith("the build of X failed: A.java:1: error: no 1; see below (-v shows all")
    assert "JDK 17" in error.next_step
    assert error.detail.splitlines()[0] == "A.java:1: error: no 1"
    assert error.detail.splitlines()[-1] == "... and 60 more lines"
    assert error.log == f"$ gradlew\n{printed}\n"
    assert told[:2] == ["command: gradlew", "build: compiling"]
    assert len(told) == 201


def test_without_a_known_error_the_last_lines_are_shown() -> None:
    log = BuildLog()
    error = log.failure("it", Finished(3, "\n".join(map(str, range(100)))), "JDK 8")
    assert error.cause == "99"
    assert error.detail.splitlines() == [str(number) for number in range(60, 100)]
    assert log.failure("it", Finished(3, ""), "JDK 8").cause == "exit status 3"
