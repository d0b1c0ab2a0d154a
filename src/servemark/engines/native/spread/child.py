"""A generator that is a process of the driver's machine: the process itself, which ends with the other end."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import Any

from servemark.engines.native.spread.agent import Agent
from servemark.engines.native.spread.channel import Channel
from servemark.errors import SetupError
from servemark.interrupts import INTERRUPTS

#: What takes its time, so that words behind it are heard meanwhile.
_LONG = {"arm", "outcome"}


def main() -> None:
    """Do what is asked over the socket whose number is the first argument, until its other end is gone."""
    for number in INTERRUPTS:  # they are for the driver, which says what is to be done
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
    end = socket.socket(fileno=int(sys.argv[1]))
    end.set_inheritable(False)  # what is started here, to keep CPUs awake, may end late: the driver is to see at once
    channel = Channel(end)
    agent = Agent(token=channel.receive())
    try:
        while True:
            number, name, arguments = channel.receive()
            if name in _LONG:
                threading.Thread(target=_do, args=(agent, channel, number, name, arguments), daemon=True).start()
            else:
                _do(agent, channel, number, name, arguments)
    except EOFError:
        agent.abandon()
    finally:
        os._exit(0)  # whatever is still waited for


def _do(agent: Agent, channel: Channel, number: int, name: str, arguments: tuple[Any, ...]) -> None:
    """Answer the question of that number."""
    try:
        answer = number, True, getattr(agent, name)(*arguments)
    except Exception as error:
        answer = number, False, _portable(error)
    with suppress(OSError):  # who is gone hears nothing
        channel.send(answer)


def _portable(error: Exception) -> Exception:
    """The error as it can be told to another process."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - it was made here
    except Exception:
        return SetupError("a generator failed", cause=repr(error))
    return error
