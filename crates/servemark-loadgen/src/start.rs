//! The start barrier: all generator threads begin at the same origin, however long their connections took.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::clock::{NS_PER_MS, monotonic_ns, unix_ns};

/// From the last arrival to the origin: so long do the other threads take to wake.
const LEAD_NS: i64 = 2 * NS_PER_MS;

/// Time 0 of a run, on two clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// On `CLOCK_MONOTONIC`.
    pub(crate) monotonic_ns: i64,
    /// Wall-clock time.
    pub(crate) unix_ns: i64,
}

/// Threads that wait for each other.
#[derive(Debug)]
pub(crate) struct StartBarrier {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    missing: u32,
    origin: Option<Origin>,
}

impl StartBarrier {
    pub(crate) fn new(threads: u32) -> Self {
        Self {
            state: Mutex::new(State {
                missing: threads,
                origin: None,
            }),
            changed: Condvar::new(),
        }
    }

    /// Wait for the other threads.
    pub(crate) fn wait(&self) -> Origin {
        let mut state = self.arrive();
        loop {
            if let Some(origin) = state.origin {
                return origin;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Count a thread that will never wait, because it failed before.
    pub(crate) fn leave(&self) {
        drop(self.arrive());
    }

    /// The origin, once it is known.
    pub(crate) fn origin(&self) -> Option<Origin> {
        self.lock().origin
    }

    fn arrive(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        state.missing -= 1;
        if state.missing == 0 {
            state.origin = Some(Origin {
                monotonic_ns: monotonic_ns() + LEAD_NS,
                unix_ns: unix_ns() + LEAD_NS,
            });
            self.changed.notify_all();
        }
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
