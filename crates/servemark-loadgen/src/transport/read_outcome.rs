//! What a read from the server brought: the same words for TCP, TLS and Unix sockets.

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadOutcome {
    /// So many bytes; `drained` when the next read would find nothing, unless a hang-up was flagged.
    Bytes {
        /// How many.
        count: usize,
        /// Nothing more is there.
        drained: bool,
        /// When the kernel received the last of them, by the wall clock, where it tells.
        stamp_unix_ns: Option<i64>,
    },
    /// Nothing is there.
    Blocked,
    /// The server will send no more.
    Eof,
    /// Nothing more will come, and the server has not said that this is its end: anybody may have cut it off.
    Cut,
}
