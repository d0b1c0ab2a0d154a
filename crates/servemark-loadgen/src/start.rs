//! The start: all generator threads begin at the same origin, however long their connections took, and so do generators
//! that are told the same one.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{BothClocks, Clock, NS_PER_MS, monotonic_ns};
use crate::error::BeginError;

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

impl Origin {
    /// At an instant of `CLOCK_MONOTONIC`.
    fn at(instant_ns: i64) -> Self {
        Self {
            monotonic_ns: instant_ns,
            unix_ns: BothClocks::read(Clock::from_origin(instant_ns)).apart_ns(),
        }
    }
}

/// Who says when a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// The last of its threads, when it is ready.
    WhenReady,
    /// Somebody else, when all threads are.
    WhenTold,
}

/// Threads that wait for each other, and maybe for being told when to begin.
#[derive(Debug)]
pub(crate) struct StartBarrier {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    missing: u32,
    start: Start,
    origin: Option<Origin>,
}

impl State {
    /// Begin, if nothing more is waited for.
    fn begin_if_ready(&mut self) {
        if self.missing == 0 && self.start == Start::WhenReady && self.origin.is_none() {
            self.origin = Some(Origin::at(monotonic_ns() + LEAD_NS));
        }
    }
}

impl StartBarrier {
    pub(crate) fn new(threads: u32, start: Start) -> Self {
        Self {
            state: Mutex::new(State {
                missing: threads,
                start,
                origin: None,
            }),
            changed: Condvar::new(),
        }
    }

    /// Wait for the other threads, and for the origin.
    pub(crate) fn wait(&self) -> Origin {
        let mut state = self.arrive();
        loop {
            if let Some(origin) = state.origin {
                return origin;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Count a thread that will never wait, because it failed before; nobody else is held back any more.
    pub(crate) fn leave(&self) {
        let mut state = self.arrive();
        self.let_go(&mut state);
    }

    /// Wait until all threads are ready, at most `timeout`. Returns whether they are.
    pub(crate) fn wait_ready(&self, timeout: Duration) -> bool {
        let is_missing = |state: &mut State| state.missing > 0;
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), timeout, is_missing)
            .unwrap_or_else(PoisonError::into_inner);
        !waited.1.timed_out()
    }

    /// Begin at an instant of `CLOCK_MONOTONIC` that is to come.
    pub(crate) fn begin_at(&self, instant_ns: i64) -> Result<(), BeginError> {
        let mut state = self.lock();
        if state.origin.is_some() {
            return Err(BeginError::Begun);
        }
        if state.missing > 0 {
            return Err(BeginError::NotReady);
        }
        if instant_ns < monotonic_ns() + LEAD_NS {
            return Err(BeginError::TooLate);
        }
        state.origin = Some(Origin::at(instant_ns));
        self.changed.notify_all();
        Ok(())
    }

    /// Hold nobody back: what was to be waited for will not come.
    pub(crate) fn release(&self) {
        self.let_go(&mut self.lock());
    }

    /// The origin, once it is known.
    pub(crate) fn origin(&self) -> Option<Origin> {
        self.lock().origin
    }

    fn let_go(&self, state: &mut State) {
        state.start = Start::WhenReady;
        state.begin_if_ready();
        self.changed.notify_all();
    }

    fn arrive(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        state.missing -= 1;
        state.begin_if_ready();
        if state.missing == 0 {
            self.changed.notify_all();
        }
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::clock::unix_ns;

    #[test]
    fn who_is_told_when_begins_then_and_once() {
        let barrier = StartBarrier::new(2, Start::WhenTold);
        let soon_ns = monotonic_ns() + 60_000 * NS_PER_MS;
        assert!(!barrier.wait_ready(Duration::ZERO));
        assert_eq!(barrier.begin_at(soon_ns), Err(BeginError::NotReady));
        thread::scope(|scope| {
            let waiting = [(), ()].map(|()| scope.spawn(|| barrier.wait()));
            assert!(barrier.wait_ready(Duration::from_secs(60)));
            assert_eq!(barrier.begin_at(monotonic_ns()), Err(BeginError::TooLate));
            assert_eq!(barrier.begin_at(soon_ns), Ok(()));
            let origins = waiting.map(|thread| thread.join().unwrap());
            assert!(origins.iter().all(|origin| origin.monotonic_ns == soon_ns));
            let apart_ns = unix_ns() - monotonic_ns();
            assert!(origins[0].unix_ns.abs_diff(soon_ns + apart_ns) < 3_600_000_000_000);
        });
        assert_eq!(barrier.begin_at(soon_ns), Err(BeginError::Begun));
    }

    #[test]
    fn a_thread_that_fails_before_lets_the_others_go() {
        let barrier = StartBarrier::new(2, Start::WhenTold);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| barrier.wait());
            barrier.leave();
            assert!(waiting.join().unwrap().monotonic_ns <= monotonic_ns() + LEAD_NS);
        });
    }

    #[test]
    fn who_was_let_go_waits_for_nobody() {
        let barrier = StartBarrier::new(1, Start::WhenTold);
        barrier.release();
        assert!(barrier.origin().is_none());
        assert!(barrier.wait().monotonic_ns <= monotonic_ns() + LEAD_NS);
    }
}
