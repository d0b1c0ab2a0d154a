"""Every error that servemark raises, in one tree.

::

    ServemarkError                 anything that ends a run; shown as one line, never as a traceback
    ├── UsageError          exit 2  the command asks for something that cannot be had
    ├── OutputError         exit 2  the result cannot be written where it was asked for
    ├── SetupError          exit 4  something that is installed or allowed once was not (a venv, a JDK, a priority)
    │   ├── GeneratorLostError      one of several generators does not answer any more
    │   └── ClusterLostError        the cluster on which they are does not
    ├── RecordingError      exit 4  records or results could not be written (disk full) or read
    ├── UnexpectedError     exit 70 a fault of servemark's own, to be reported
    └── ServerError         exit 4  the server under test failed
        ├── DoesNotFitError         this machine has less memory, or fewer GPUs, than it would take
        ├── UnreachableError        nobody answers at the address
        ├── ServerStartError        it did not come up
        ├── ServerDiedError         it ended, or its memory did, while in use
        ├── ModelError              it cannot load or run the model
        │   └── InputRefusedError   the model takes no such input
        └── ManagementError         a management call was refused; carries status and message

A failed *request* is not here: it is a record (see :mod:`servemark.records`). Interruption is Python's own
``KeyboardInterrupt``.
"""

from __future__ import annotations

from servemark.terminals import shortened

EXIT_OK = 0
EXIT_VERDICT_FAILED = 1
EXIT_USAGE = 2
EXIT_INVALID = 3
EXIT_SERVER_FAILED = 4
#: EX_SOFTWARE of sysexits.h; Python's own 1 would say that too many requests failed.
EXIT_UNEXPECTED = 70
EXIT_INTERRUPTED = 130
#: More of what happened, or of why, is no line any more.
_LONGEST = 1000


class ServemarkError(Exception):
    """What happened, why (if known) and what to try next; ``str()`` joins them in one line.

    Never raised bare: raise one of its subclasses. `detail` holds lines worth showing below the
    line itself, such as the end of a server's log. `log` is all that a failed program printed, where
    that is more than can be shown: a result keeps it in a file.
    """

    exit_status: int

    def __init__(self, what: str, *, cause: str = "", next_step: str = "", detail: str = "", log: str = "") -> None:
        if type(self) is ServemarkError:
            raise TypeError("raise a subclass of ServemarkError, which says who has to act")
        self.what = what
        self.cause = cause
        self.next_step = next_step
        self.detail = detail
        self.log = log
        super().__init__(what)

    def __str__(self) -> str:
        line = shortened(self.what, _LONGEST) + (f": {shortened(self.cause, _LONGEST)}" if self.cause else "")
        line += f"; {self.next_step}" if self.next_step else ""
        return " ".join(line.split())


class UsageError(ServemarkError):
    """The command, or a call of the Python interface, asks for something that cannot be had."""

    exit_status = EXIT_USAGE


class OutputError(ServemarkError):
    """The result cannot be written where it was asked for."""

    exit_status = EXIT_USAGE


class SetupError(ServemarkError):
    """Something that is installed, built or allowed once (environment, JDK, model, priority) could not be."""

    exit_status = EXIT_SERVER_FAILED


class GeneratorLostError(SetupError):
    """One of several generators does not answer any more: its process, or its machine, is gone."""


class ClusterLostError(SetupError):
    """The cluster on which generators are does not answer any more, or our connection to it is gone."""


class RecordingError(ServemarkError):
    """Records or results could not be written (disk full), or a record file cannot be read."""

    exit_status = EXIT_SERVER_FAILED

    @classmethod
    def unwritable(cls, path: object, cause: str) -> RecordingError:
        """The error of records that could not be written to `path`."""
        free = "free some space, or give -o a folder on another disk"
        return cls(f"cannot write records to {path}", cause=cause, next_step=free)


class UnexpectedError(ServemarkError):
    """A fault of servemark's own; what raised it is its ``__cause__``, and a traceback is kept in a file."""

    exit_status = EXIT_UNEXPECTED


class ServerError(ServemarkError):
    """The server under test, or its environment, failed."""

    exit_status = EXIT_SERVER_FAILED


class DoesNotFitError(ServerError):
    """What is asked for would take more memory, or more GPUs, than this machine has; nothing was started."""


class UnreachableError(ServerError):
    """Nothing usable answers at the server's address."""


class ServerStartError(ServerError):
    """The server did not come up."""


class ServerDiedError(ServerError):
    """The server ended, or ran out of memory, while it was in use."""


class ModelError(ServerError):
    """The server cannot load or run the model."""


class InputRefusedError(ModelError):
    """The model answered its first prediction with a client error: it takes no such input."""


class ManagementError(ServerError):
    """A management call was answered with a refusal, or not in time.

    `status` is the HTTP status, or None when there was no answer; `message` is the server's own text.
    """

    def __init__(
        self, what: str, *, status: int | None, message: str = "", next_step: str = "", detail: str = ""
    ) -> None:
        super().__init__(what, cause=message, next_step=next_step, detail=detail)
        self.status = status
        self.message = message
