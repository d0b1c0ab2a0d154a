//! What the outside may ask of a run, and what it may see of it: atomics that generator threads read and write.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use rustix::event::{EventfdFlags, eventfd};

use crate::load::Retired;

/// A time before every other: at once, also before the start.
pub(crate) const AT_ONCE_NS: i64 = i64::MIN;

/// When to end, and how to wake the threads that must know.
#[derive(Debug)]
pub(crate) struct Control {
    stop_at_ns: AtomicI64,
    cancel_at_ns: AtomicI64,
    /// Who is not done yet, of those whose last ends the groups in the background.
    foreground: AtomicU64,
    /// When the last of those had done their work who have, or will have.
    foreground_until_ns: AtomicI64,
    /// Whether anybody works in the background.
    has_background: bool,
    wakers: Vec<OwnedFd>,
}

impl Control {
    /// A run of `threads` generator threads that ends by itself, and its background with the last of `foreground`.
    pub(crate) fn new(threads: u32, foreground: u64, has_background: bool) -> io::Result<Self> {
        let wakers = (0..threads)
            .map(|_| eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            stop_at_ns: AtomicI64::new(i64::MAX),
            cancel_at_ns: AtomicI64::new(i64::MAX),
            foreground: AtomicU64::new(foreground),
            foreground_until_ns: AtomicI64::new(i64::MIN),
            has_background,
            wakers,
        })
    }

    /// Schedule nothing from `at_ns`. Returns the time that holds: an earlier one stays.
    pub(crate) fn stop_at(&self, at_ns: i64) -> i64 {
        let before_ns = self.stop_at_ns.fetch_min(at_ns, Ordering::SeqCst);
        self.wake();
        before_ns.min(at_ns)
    }

    /// Those of the foreground have done their work, as is known at `now_ns`; with the last of them the background ends.
    ///
    /// Of whom only the time is over, it may be over later than now: the background goes on until then.
    pub(crate) fn retire(&self, retired: Retired, now_ns: i64) {
        if retired.count == 0 || !self.has_background {
            return;
        }
        self.foreground_until_ns
            .fetch_max(retired.at_ns, Ordering::SeqCst);
        if self.foreground.fetch_sub(retired.count, Ordering::SeqCst) == retired.count {
            self.stop_at(now_ns.max(self.foreground_until_ns.load(Ordering::SeqCst)));
        }
    }

    /// Cut off at `at_ns` what is in flight.
    pub(crate) fn cancel_at(&self, at_ns: i64) {
        self.cancel_at_ns.fetch_min(at_ns, Ordering::SeqCst);
        self.wake();
    }

    /// From when nothing is scheduled.
    pub(crate) fn stop_at_ns(&self) -> i64 {
        self.stop_at_ns.load(Ordering::Relaxed)
    }

    /// From when what is in flight is cut off.
    pub(crate) fn cancel_at_ns(&self) -> i64 {
        self.cancel_at_ns.load(Ordering::Relaxed)
    }

    /// Becomes readable whenever something was asked.
    pub(crate) fn waker(&self, thread: u32) -> BorrowedFd<'_> {
        self.wakers[thread as usize].as_fd()
    }

    fn wake(&self) {
        for waker in &self.wakers {
            // It fails only when its counter is full: then the thread was woken often enough.
            let _ = rustix::io::write(waker, &1_u64.to_ne_bytes());
        }
    }
}

/// Counts of one generator thread. Only that thread writes them; a cache line of its own keeps readers out of its way.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    /// Requests that became due.
    pub(crate) scheduled: Counter,
    /// Records of kind ok.
    pub(crate) succeeded: Counter,
    /// Records of other kinds.
    pub(crate) failed: Counter,
    /// Requests without a record yet, counted by the driver on its own.
    pub(crate) in_flight: Counter,
    /// Records of kind ok without the warm-up flag, of the headline's steps.
    pub(crate) measured_succeeded: Counter,
}

/// A number that one thread writes and others read.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Add one. Only for the thread that owns the counter: a load and a store, no locked instruction.
    pub(crate) fn increment(&self) {
        self.0.store(self.value() + 1, Ordering::Relaxed);
    }

    /// Set the value; only for the thread that owns the counter.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value at some recent time.
    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_stop_holds() {
        let control = Control::new(2, 1, false).unwrap();
        assert_eq!(control.stop_at(500), 500);
        assert_eq!(control.stop_at(900), 500);
        assert_eq!(control.stop_at(AT_ONCE_NS), AT_ONCE_NS);
        assert_eq!(control.stop_at_ns(), AT_ONCE_NS);
        assert_eq!(control.cancel_at_ns(), i64::MAX);
    }
}
