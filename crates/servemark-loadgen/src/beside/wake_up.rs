//! How exactly this machine wakes a thread that sleeps.

use std::io;
use std::num::NonZeroU64;
use std::thread;

use rustix::thread::set_current_timer_slack;

use crate::clock::{NS_PER_MS, monotonic_ns};
use crate::poller::{Events, Poller};

const WAITS: usize = 100;

/// How late waits end: median and 99th percentile of 100 waits of 1 ms, in nanoseconds.
///
/// They are the waits of a generator thread, at ordinary priority. Late by more than some 100 us at the 99th percentile
/// means CPUs that take their time to wake up, or that others use.
pub fn wake_up_lag() -> io::Result<(i64, i64)> {
    let measuring = thread::Builder::new().spawn(|| {
        let _ = set_current_timer_slack(NonZeroU64::new(1));
        let poller = Poller::new()?;
        let mut events = Events::new();
        let mut lags_ns = Vec::with_capacity(WAITS);
        for _ in 0..WAITS {
            let due_ns = monotonic_ns() + NS_PER_MS;
            poller.wait(&mut events, NS_PER_MS)?;
            lags_ns.push(monotonic_ns() - due_ns);
        }
        lags_ns.sort_unstable();
        Ok((lags_ns[WAITS / 2 - 1], lags_ns[WAITS * 99 / 100 - 1]))
    })?;
    measuring
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the thread that measured panicked")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_end_late_but_never_early() {
        let (p50_ns, p99_ns) = wake_up_lag().unwrap();
        assert!(0 < p50_ns && p50_ns <= p99_ns, "{p50_ns} {p99_ns}");
    }
}
