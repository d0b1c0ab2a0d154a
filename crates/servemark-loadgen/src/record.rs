//! Records: the row of one request. A record file is a [`table`](crate::table) of them.
//!
//! `seq` is unique within a run, not dense: thread t of T of generator g of G numbers its requests `g + G * (t + n * T)`.

use crate::error::Kind;

/// Name, numpy dtype and offset of a column.
pub type Column = (&'static str, &'static str, usize);

/// A time that did not come: the request failed before.
pub(crate) const NEVER_NS: i64 = -1;

/// What a record file begins with.
pub const MAGIC: [u8; 16] = *b"SERVEMARK-REC\0\0\0";

/// Bytes of one row.
pub const ROW_BYTES: usize = 112;

/// Bits of the `flags` column.
pub mod flags {
    /// Scheduled before the end of the warm-up.
    pub const WARMUP: u8 = 1;
    /// The server answered before the whole request was sent; the rest was not sent.
    pub const CUT_BODY: u8 = 2;
    /// The request waited while its connection was opened (the others were open before the start, or used before).
    pub const OPENED: u8 = 4;
    /// That connection took the place of one that the server had closed while it was idle.
    pub const RECONNECTED: u8 = 8;
    /// The response was a stream of server-sent events, of which `events` came.
    pub const STREAMED: u8 = 16;
    /// It belongs to a closed loop: its headline is the service time.
    pub const CLOSED_LOOP: u8 = 32;
    /// Its `end` is a reading of the clock: the kernel had no time of arrival for it, or none that could be believed.
    pub const CLOCK_READ: u8 = 64;
    /// Between `sent` and the return of the write so much passed that it may have left later.
    pub const UNSURE_SENT: u8 = 128;

    /// Names of the bits.
    pub const NAMES: [(&str, u8); 8] = [
        ("warmup", WARMUP),
        ("cut_body", CUT_BODY),
        ("opened", OPENED),
        ("reconnected", RECONNECTED),
        ("streamed", STREAMED),
        ("closed_loop", CLOSED_LOOP),
        ("clock_read", CLOCK_READ),
        ("unsure_sent", UNSURE_SENT),
    ];
}

/// What happened to one request. Times are nanoseconds from the run's origin, [`NEVER_NS`] when they did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Number of the request, unique within the run.
    pub seq: u64,
    /// When it was due.
    pub scheduled_ns: i64,
    /// When it could first have been sent: the latest of scheduled, a slot free, connect and TLS done; in a closed loop
    /// also of when the generator learnt that its user was ready.
    pub ready_ns: i64,
    /// Just before its first byte was written.
    pub sent_ns: i64,
    /// When the first byte of the (final) response arrived, at the latest: what is read together has one time.
    pub first_byte_ns: i64,
    /// When the last byte of the response arrived, or the request failed.
    pub end_ns: i64,
    /// TCP connect time, in the first record of a connection.
    pub connect_us: u32,
    /// TLS handshake time, likewise.
    pub tls_us: u32,
    /// The virtual user.
    pub user: u32,
    /// Number of the connection in the run.
    pub connection: u32,
    /// Bytes of the request that were written; saturates.
    pub bytes_sent: u32,
    /// Bytes of the response, head, chunk framing and body; saturates.
    pub bytes_received: u32,
    /// Index of the request in its step's pool.
    pub input: u32,
    /// Events of a streamed response.
    pub events: u32,
    /// Status of the response, 0 without one.
    pub status: u16,
    /// Index of the step.
    pub step: u16,
    /// How it ended.
    pub kind: Kind,
    /// Bits of [`flags`].
    pub flags: u8,
    /// Index of the group.
    pub group: u16,
    /// When the first event of a streamed response arrived.
    pub first_event_ns: i64,
    /// When the last one did; events of one read have the same time.
    pub last_event_ns: i64,
    /// When the generator had read the end.
    pub read_ns: i64,
}

/// The columns of a record file.
pub const COLUMNS: [Column; 22] = [
    ("seq", "<u8", 0),
    ("scheduled", "<i8", 8),
    ("ready", "<i8", 16),
    ("sent", "<i8", 24),
    ("first_byte", "<i8", 32),
    ("end", "<i8", 40),
    ("connect_us", "<u4", 48),
    ("tls_us", "<u4", 52),
    ("user", "<u4", 56),
    ("connection", "<u4", 60),
    ("bytes_sent", "<u4", 64),
    ("bytes_received", "<u4", 68),
    ("input", "<u4", 72),
    ("events", "<u4", 76),
    ("status", "<u2", 80),
    ("step", "<u2", 82),
    ("kind", "u1", 84),
    ("flags", "u1", 85),
    ("group", "<u2", 86),
    ("first_event", "<i8", 88),
    ("last_event", "<i8", 96),
    ("read", "<i8", 104),
];

impl Record {
    /// The row, as [`COLUMNS`] lays it out.
    #[must_use]
    pub fn to_row(&self) -> [u8; ROW_BYTES] {
        let mut row = [0; ROW_BYTES];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            row[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&self.seq.to_le_bytes());
        for time_ns in [
            self.scheduled_ns,
            self.ready_ns,
            self.sent_ns,
            self.first_byte_ns,
            self.end_ns,
        ] {
            put(&time_ns.to_le_bytes());
        }
        for number in [
            self.connect_us,
            self.tls_us,
            self.user,
            self.connection,
            self.bytes_sent,
            self.bytes_received,
            self.input,
            self.events,
        ] {
            put(&number.to_le_bytes());
        }
        put(&self.status.to_le_bytes());
        put(&self.step.to_le_bytes());
        put(&[self.kind as u8, self.flags]);
        put(&self.group.to_le_bytes());
        put(&self.first_event_ns.to_le_bytes());
        put(&self.last_event_ns.to_le_bytes());
        put(&self.read_ns.to_le_bytes());
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(row: &[u8], name: &str) -> u64 {
        let index = COLUMNS.iter().position(|column| column.0 == name).unwrap();
        let (_, dtype, offset) = COLUMNS[index];
        let width = dtype
            .trim_start_matches(['<', 'u', 'i'])
            .parse::<usize>()
            .unwrap();
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(&row[offset..offset + width]);
        u64::from_le_bytes(bytes)
    }

    #[test]
    fn every_field_is_found_at_its_column() {
        let record = Record {
            seq: u64::MAX - 1,
            scheduled_ns: 1 << 40,
            ready_ns: 2,
            sent_ns: NEVER_NS,
            first_byte_ns: 4,
            end_ns: 5,
            connect_us: 6,
            tls_us: 7,
            user: 8,
            connection: u32::MAX,
            bytes_sent: 10,
            bytes_received: 11,
            input: 12,
            events: 13,
            status: 503,
            step: 15,
            kind: Kind::HttpStatus,
            flags: flags::WARMUP | flags::RECONNECTED,
            group: 18,
            first_event_ns: NEVER_NS,
            last_event_ns: 1 << 50,
            read_ns: 21,
        };
        let row = record.to_row();
        let expected = [
            ("seq", u64::MAX - 1),
            ("scheduled", 1 << 40),
            ("ready", 2),
            ("sent", u64::MAX),
            ("first_byte", 4),
            ("end", 5),
            ("connect_us", 6),
            ("tls_us", 7),
            ("user", 8),
            ("connection", u64::from(u32::MAX)),
            ("bytes_sent", 10),
            ("bytes_received", 11),
            ("input", 12),
            ("events", 13),
            ("status", 503),
            ("step", 15),
            ("kind", 7),
            ("flags", 9),
            ("group", 18),
            ("first_event", u64::MAX),
            ("last_event", 1 << 50),
            ("read", 21),
        ];
        assert_eq!(expected.len(), COLUMNS.len());
        for (name, value) in expected {
            assert_eq!(column(&row, name), value, "{name}");
        }
    }

    #[test]
    fn columns_follow_one_another_without_a_gap() {
        let mut end = 0;
        for (_, dtype, offset) in COLUMNS {
            assert_eq!(offset, end);
            end += dtype
                .trim_start_matches(['<', 'u', 'i'])
                .parse::<usize>()
                .unwrap();
        }
        assert_eq!(end, ROW_BYTES);
    }
}
