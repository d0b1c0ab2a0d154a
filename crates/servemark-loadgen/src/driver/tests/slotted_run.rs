//! A whole run of the protocol with slots, against a server that a test scripts, and its records.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::slotted::Slotted;
use super::*;
use crate::driver::connections::TURN_BYTES;
use crate::record::{COLUMNS, ROW_BYTES};

/// Users who each do so many requests, one after the other; all begin at once.
pub(super) struct Users {
    begin: Vec<Arrival>,
    /// By user: how many requests it has still to begin, after its first.
    left: Vec<u32>,
}

impl Users {
    pub(super) fn new(users: u32, loops: u32) -> Self {
        Self {
            begin: (0..users).rev().map(arrival).collect(),
            left: vec![loops - 1; users as usize],
        }
    }
}

impl Load for Users {
    fn next_due_ns(&self) -> i64 {
        if self.begin.is_empty() { i64::MAX } else { 0 }
    }

    fn take_due(&mut self, _now_ns: i64) -> Option<Arrival> {
        self.begin.pop()
    }

    fn ended(&mut self, ended: &Arrival, end_ns: i64, _next: Next) -> Option<Arrival> {
        let left = &mut self.left[ended.user as usize];
        *left = left.checked_sub(1)?;
        Some(Arrival {
            scheduled_ns: end_ns,
            ..*ended
        })
    }

    fn take_retired(&mut self) -> Retired {
        Retired::default()
    }

    fn end_scheduling(&mut self, _at_ns: i64) {}

    fn is_exhausted(&self) -> bool {
        self.begin.is_empty()
    }

    fn over_ns(&self) -> Option<i64> {
        None
    }
}

/// The rows of a driver's records, in the order of their users, and of their ends.
pub(super) struct Records(Vec<Vec<u8>>);

impl Records {
    fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        let rows = bytes[header().to_bytes().len()..]
            .chunks_exact(ROW_BYTES)
            .map(<[u8]>::to_vec);
        let mut records = Self(rows.collect());
        records.0.sort_by_key(|row| value(row, "user"));
        records
    }

    pub(super) fn column(&self, name: &str) -> Vec<i64> {
        self.0.iter().map(|row| value(row, name)).collect()
    }

    pub(super) fn count(&self, kind: Kind) -> usize {
        let kinds = self.column("kind");
        kinds.into_iter().filter(|&found| found == kind as i64).count()
    }
}

fn value(row: &[u8], name: &str) -> i64 {
    let (_, dtype, offset) = COLUMNS.into_iter().find(|column| column.0 == name).unwrap();
    let width: usize = dtype.trim_start_matches(['<', 'u', 'i']).parse().unwrap();
    let mut wide = [0; 8];
    wide[..width].copy_from_slice(&row[offset..offset + width]);
    i64::from_le_bytes(wide)
}

/// Run a load on at most `limit` connections, against a server that does what `serve` says, and read its records.
pub(super) fn run<const SLOTS: usize>(
    load: Users,
    limit: usize,
    serve: impl FnOnce(&TcpListener) + Send,
) -> Records {
    run_reading::<SLOTS>(TURN_BYTES, load, limit, serve)
}

/// The same, of which so many bytes are read at once.
pub(super) fn run_reading<const SLOTS: usize>(
    read_bytes: usize,
    load: Users,
    limit: usize,
    serve: impl FnOnce(&TcpListener) + Send,
) -> Records {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let number = RUNS.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("servemark-{}-slots-{number}", std::process::id()));
    let (writer, handle) = Writer::new((File::create(&path).unwrap(), header()), Vec::new()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let around = Around::new(listener.local_addr().unwrap().port());
    thread::scope(|scope| {
        scope.spawn(|| serve(&listener));
        let mut driver: Driver<'_, _, Slotted<SLOTS>> = around.driver_of(load, limit, handle.recorder());
        driver.connections.read_at_most(read_bytes);
        driver.run(&[0, 0], monotonic_ns).unwrap();
    });
    let control = Arc::new(Control::new(1, 1, false).unwrap());
    assert_eq!(writer.run(&control), None);
    Records::read(&path)
}
