//! CPUs that are kept awake for a run, and what is told of it.

use std::ffi::OsString;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::beside::keep_awake::{Busyness, KeepAwake};
use crate::clock::NS_PER_S;

/// For so long a machine has to be busy before its CPUs are let sleep.
const BUSY_FOR: Duration = Duration::from_millis(200);

/// The CPUs of a run; they sleep as they like until [`start`](Self::start).
#[derive(Debug, Default)]
pub(super) struct Awake(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    spinning: Option<KeepAwake>,
    got: String,
    spun_ns: i64,
}

impl State {
    /// Let the CPUs sleep. Returns whether they were kept awake until now.
    fn end(&mut self) -> bool {
        let Some(spinning) = self.spinning.take() else {
            return false;
        };
        self.spun_ns = spinning.spun_ns();
        true
    }
}

impl Awake {
    /// Keep them awake by `command`, if there is one.
    pub(super) fn start(&self, command: Option<&[OsString]>) {
        let Some(command) = command else {
            return;
        };
        let mut state = self.lock();
        match KeepAwake::start(command) {
            Ok(spinning) => {
                let cpus = spinning.cpus();
                state.got = format!("{cpus} CPU{}", if cpus == 1 { "" } else { "s" });
                state.spinning = Some(spinning);
            }
            Err(error) => state.got = format!("refused: {error}"),
        }
    }

    /// Whether they are kept awake.
    pub(super) fn is_on(&self) -> bool {
        self.lock().spinning.is_some()
    }

    /// Watch the machine until they are let sleep: because it is busy by itself, or by somebody else.
    pub(super) fn end_when_busy(&self, elapsed_ns: impl Fn() -> i64) {
        let mut before = Busyness::now();
        while self.is_on() {
            thread::sleep(BUSY_FOR);
            let now = Busyness::now();
            if let (Some(before), Some(now)) = (before, now) {
                let mut state = self.lock();
                if now.is_too_busy_since(before) && state.end() {
                    let at_s = elapsed_ns().max(0) as f64 / NS_PER_S as f64;
                    state.got = format!(
                        "{} until {at_s:.1} s, when the machine was busy by itself",
                        state.got
                    );
                }
            }
            before = now;
        }
    }

    /// Let them sleep.
    pub(super) fn end(&self) {
        self.lock().end();
    }

    /// What became of it, and the CPU time that it took, in nanoseconds.
    pub(super) fn told(&self) -> (String, i64) {
        let state = self.lock();
        (state.got.clone(), state.spun_ns)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
