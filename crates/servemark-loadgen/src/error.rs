//! What can go wrong: with one request (a kind, in its record), with a plan, and with a run.

use std::borrow::Cow;
use std::fmt;
use std::io;

/// How a request ended; the number is the value of the `kind` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A response with a status from 200 to 299.
    Ok = 0,
    /// No TCP connection could be opened.
    Connect,
    /// The TLS handshake failed, or a TLS record could not be read.
    Tls,
    /// A limit on time was passed: of the request, or of opening its connection.
    Timeout,
    /// The connection was reset, or broke while the request was written.
    Reset,
    /// The server closed the connection before the end of the response.
    ClosedEarly,
    /// The response cannot be understood.
    Protocol,
    /// A complete response with a status outside 200 to 299.
    HttpStatus,
    /// A complete response with a status that the plan did not expect.
    UnexpectedStatus,
    /// A complete response whose body is not what the step expects.
    Application,
    /// The run was stopped before the response came.
    Cancelled,
    /// The generator's own machine lacked what the request takes: a descriptor, a port, memory.
    Local,
}

impl Kind {
    /// Names by number, as the header of a record file lists them.
    pub const NAMES: [&'static str; 12] = [
        "ok",
        "connect",
        "tls",
        "timeout",
        "reset",
        "closed_early",
        "protocol",
        "http_status",
        "unexpected_status",
        "application",
        "cancelled",
        "local",
    ];

    /// Whether a complete response was read.
    pub(crate) fn is_response(self) -> bool {
        use Kind::{Application, HttpStatus, Ok, UnexpectedStatus};
        matches!(self, Ok | HttpStatus | UnexpectedStatus | Application)
    }

    /// The name of this kind.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// Why a request failed: its kind, and what was seen, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind that the record will carry.
    pub kind: Kind,
    /// What the generator saw.
    pub message: Cow<'static, str>,
}

impl Failure {
    /// A failure of `kind`.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// A failure of `kind` that `error` explains: "while reading: Connection reset by peer (os error 104)". What this
    /// machine lacks is [`Kind::Local`], whatever was done.
    pub(crate) fn from_io(kind: Kind, doing: &str, error: &io::Error) -> Self {
        let kind = Lack::of(error).map_or(kind, |_| Kind::Local);
        Self::new(kind, format!("{doing}: {error}"))
    }
}

/// What the generator's own machine can lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// File descriptors, of the process or of the system.
    Descriptors,
    /// Ports to connect from.
    Ports,
    /// Memory of the kernel.
    Memory,
}

impl Lack {
    /// What is lacking, if that is what `error` says.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        match error.raw_os_error()? {
            libc::EMFILE | libc::ENFILE => Some(Self::Descriptors),
            libc::EADDRNOTAVAIL | libc::EADDRINUSE => Some(Self::Ports),
            // ENOSPC is epoll's, for more sockets than a user may watch.
            libc::ENOMEM | libc::ENOBUFS | libc::ENOSPC => Some(Self::Memory),
            _ => None,
        }
    }
}

/// Why a plan cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError(pub String);

impl fmt::Display for PlanError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for PlanError {}

/// Why a run could not be started.
#[derive(Debug)]
pub enum StartError {
    /// The plan is inconsistent.
    Plan(PlanError),
    /// This machine lacks what its users need.
    Shortage(Shortage),
    /// Real-time priority was asked for and is refused.
    Realtime(io::Error),
    /// The kernel's time of arrival was asked for and is refused.
    ReceiveClock(io::Error),
    /// The record file, a thread or an epoll instance could not be made.
    Io(io::Error),
}

/// What users of closed loops need of this machine, and it does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// In words, with its unit.
    pub resource: &'static str,
    /// How much they need.
    pub needed: u64,
    /// How much there is.
    pub had: u64,
}

impl fmt::Display for Shortage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            resource,
            needed,
            had,
        } = self;
        write!(
            formatter,
            "the users need {needed} {resource}, and there are {had}"
        )
    }
}

impl From<Shortage> for StartError {
    fn from(shortage: Shortage) -> Self {
        Self::Shortage(shortage)
    }
}

impl From<PlanError> for StartError {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan(error) => error.fmt(formatter),
            Self::Shortage(shortage) => shortage.fmt(formatter),
            Self::Realtime(error) => write!(formatter, "real-time priority is refused: {error}"),
            Self::ReceiveClock(error) => {
                write!(formatter, "the kernel's time of arrival is refused: {error}")
            }
            Self::Io(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for StartError {}

/// Why a run does not begin when it is told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeginError {
    /// Its threads are not ready yet.
    NotReady,
    /// It has begun, or was let go.
    Begun,
    /// That instant is past, or too near for its threads to be woken.
    TooLate,
}

impl fmt::Display for BeginError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotReady => "the run is not ready to begin",
            Self::Begun => "the run has begun already",
            Self::TooLate => "a run cannot begin in the past, nor within the next 2 ms",
        })
    }
}

impl std::error::Error for BeginError {}

/// A generator thread that ended before its work did; the records are incomplete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunError(pub String);

impl fmt::Display for RunError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for RunError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_at_their_kinds_number() {
        assert_eq!(Kind::Ok.name(), "ok");
        assert_eq!(Kind::ClosedEarly.name(), "closed_early");
        assert_eq!(Kind::Cancelled.name(), "cancelled");
        assert_eq!(Kind::Cancelled.name(), "cancelled");
        assert_eq!(Kind::Local as usize + 1, Kind::NAMES.len());
    }

    #[test]
    fn what_this_machine_lacks_is_no_failure_of_the_server() {
        let kind =
            |number| Failure::from_io(Kind::Connect, "connect", &io::Error::from_raw_os_error(number)).kind;
        for number in [
            libc::EMFILE,
            libc::ENFILE,
            libc::EADDRNOTAVAIL,
            libc::ENOMEM,
            libc::ENOBUFS,
        ] {
            assert_eq!(kind(number), Kind::Local);
        }
        assert_eq!(kind(libc::ECONNREFUSED), Kind::Connect);
        let unnumbered = Failure::from_io(Kind::Tls, "TLS handshake", &io::Error::other("no"));
        assert_eq!(unnumbered.kind, Kind::Tls);
    }
}
