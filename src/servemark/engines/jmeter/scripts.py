"""The few things that JMeter has no element for, as Groovy: short, their figures at the top, to be read in its GUI."""

from __future__ import annotations

from servemark.engines.jmeter.elements import MS_PER_S
from servemark.workload.scenario import RepeatUntil

#: How many users of the foreground have done their last loop, in this run: a GUI runs a plan again in one process.
_DONE = "'servemark.done.' + props.get('TESTSTART.MS')"

#: Of these a number would be read before the string is, and end it.
_ESCAPES = {"'": "\\'", "\\": "\\\\", "\n": "\\n", "\r": "\\r"}

#: A first script takes a second, which no request is to wait for.
START_GROOVY = "SampleResult.setIgnore()\n"


def repeat_until(until: RepeatUntil, number: int) -> str:
    """An assertion on step `number`, in a loop without end: leaves the loop when the body says so, or at the limit."""
    since = f"'repeated_since_{number}'"
    text = until.text.decode("utf-8", "replace")
    message = f'the body does not hold "{text}" {until.times} times, after repeating'
    return f"""\
// A success whose body does not hold the text exactly that often is asked for again, until the limit.
String text = {_literal(until.text.decode("latin-1"))}
int times = {until.times}
long limitMs = {round(until.limit_s * MS_PER_S)}

long since = vars.getObject({since}) ?: prev.startTime
String body = new String(prev.responseData, 'ISO-8859-1')
int found = 0
for (int at = body.indexOf(text); at >= 0; at = body.indexOf(text, at + 1)) found++
if (prev.successful && found != times && prev.endTime - since < limitMs) {{
    vars.putObject({since}, since)
    return
}}
if (prev.successful && found != times) {{
    AssertionResult.failure = true
    AssertionResult.failureMessage = {_literal(message)}
}}
vars.remove({since})
ctx.testLogicalAction = org.apache.jmeter.threads.JMeterContext.TestLogicalAction.BREAK_CURRENT_LOOP
"""


def tell_last_loop(loops: int) -> str:
    """A sampler without a sample, the last of each loop: counts the users that have done all their `loops`."""
    return f"""\
// The background ends when each user of the other groups has done its last loop.
int loops = {loops}
SampleResult.setIgnore()
if (vars.iteration == loops) {{
    synchronized (props) {{
        String done = {_DONE}
        props.put(done, String.valueOf(Integer.parseInt(props.getOrDefault(done, '0')) + 1))
    }}
}}
"""


def end_with_the_others(users: int, after_s: float) -> str:
    """Before each request of the background: ends its user when `users` have done theirs, and `after_s` has passed."""
    return f"""\
// The background ends when each user of the other groups has done its last loop.
int users = {users}
long afterMs = {round(after_s * MS_PER_S)}

long now = System.currentTimeMillis()
long began = vars.getObject('began') ?: now
vars.putObject('began', began)
if (now - began >= afterMs && Integer.parseInt(props.getOrDefault({_DONE}, '0')) >= users) ctx.thread.stop()
"""


def _literal(text: str) -> str:
    """`text` as a Groovy string in which JMeter finds no variable."""
    return "'" + "".join(_escaped(character) for character in text) + "'"


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isascii() and character.isprintable() and character != "$":
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))
