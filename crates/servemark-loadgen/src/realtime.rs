//! Real-time priority of a generator thread: had where it is permitted, given up by a thread that is busy.
//!
//! Beside a server that saturates every CPU it is what makes requests leave in time. A thread that has it and is busy
//! would starve that server instead. One that has none asks for short slices: its share of the CPUs is no larger, but it
//! has its turn sooner.

use std::fmt;
use std::io;
use std::thread;

use crate::clock::{NS_PER_MS, NS_PER_S, thread_cpu_ns};
use crate::kernel::{Policy, ask_for_short_slices, set_policy};

/// Over how long a thread's business is looked at.
const WINDOW_NS: i64 = 100 * NS_PER_MS;

/// Whether generator threads ask for real-time priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Realtime {
    /// In runs with an open loop, where it is permitted.
    Auto,
    /// In every run, which does not start where it is refused.
    On,
    /// Never.
    Off,
}

/// What became of the priority that a thread asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum PriorityState {
    #[default]
    NotAsked,
    Held,
    Refused(String),
    /// At that time, because the thread was busy.
    Dropped(i64),
}

impl PriorityState {
    /// What became of it on two threads: where it differs, the worse, and of two drops the first.
    pub(crate) fn with(self, other: Self) -> Self {
        let keeps = match (&self, &other) {
            (Self::Dropped(at_ns), Self::Dropped(other_ns)) => at_ns <= other_ns,
            _ => self.severity() >= other.severity(),
        };
        if keeps { self } else { other }
    }

    fn severity(&self) -> u8 {
        match self {
            Self::NotAsked => 0,
            Self::Held => 1,
            Self::Refused(_) => 2,
            Self::Dropped(_) => 3,
        }
    }
}

impl fmt::Display for PriorityState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => Ok(()),
            Self::Held => formatter.write_str("rr 1"),
            Self::Refused(why) => write!(formatter, "refused: {why}"),
            Self::Dropped(at_ns) => {
                let seconds = *at_ns as f64 / NS_PER_S as f64;
                write!(formatter, "dropped after {seconds:.1} s")
            }
        }
    }
}

/// Whether a thread of this process may have it: one tries.
pub(crate) fn is_permitted() -> io::Result<()> {
    let trial = thread::Builder::new().spawn(|| set_policy(None, Policy::RealTime))?;
    trial
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the thread that tried panicked")))
}

/// The priority of the calling thread.
#[derive(Debug)]
pub(crate) struct Priority {
    state: PriorityState,
    look_at_ns: i64,
    looked_ns: i64,
    /// Time that the thread had used by then.
    used_ns: i64,
}

impl Priority {
    /// Ask for it, if that is `asked`, at `now_ns` of the run's clock.
    pub(crate) fn new(asked: bool, now_ns: i64) -> Self {
        let state = match asked.then(|| set_policy(None, Policy::RealTime)) {
            None => PriorityState::NotAsked,
            Some(Ok(())) => PriorityState::Held,
            Some(Err(error)) => PriorityState::Refused(error.to_string()),
        };
        let is_held = state == PriorityState::Held;
        if !is_held {
            // Where it is refused, the thread waits for its turn as others do.
            let _ = ask_for_short_slices();
        }
        Self {
            state,
            look_at_ns: if is_held { now_ns + WINDOW_NS } else { i64::MAX },
            looked_ns: now_ns,
            used_ns: thread_cpu_ns(),
        }
    }

    /// Give it up if the thread was busy for more than half of the last window.
    pub(crate) fn observe(&mut self, now_ns: i64) {
        if now_ns < self.look_at_ns {
            return;
        }
        let used_ns = thread_cpu_ns();
        let is_busy = 2 * (used_ns - self.used_ns) > now_ns - self.looked_ns;
        (self.used_ns, self.looked_ns, self.look_at_ns) = (used_ns, now_ns, now_ns + WINDOW_NS);
        if is_busy && set_policy(None, Policy::Normal).is_ok() {
            let _ = ask_for_short_slices();
            self.state = PriorityState::Dropped(now_ns);
            self.look_at_ns = i64::MAX;
        }
    }

    /// What became of it.
    pub(crate) fn state(self) -> PriorityState {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_threads_the_worst_is_told() {
        let refused = || PriorityState::Refused("no".into());
        let worst = |all: Vec<PriorityState>| {
            all.into_iter()
                .fold(PriorityState::NotAsked, PriorityState::with)
                .to_string()
        };
        assert_eq!(worst(vec![PriorityState::NotAsked, PriorityState::NotAsked]), "");
        assert_eq!(worst(vec![PriorityState::Held, PriorityState::Held]), "rr 1");
        assert_eq!(worst(vec![PriorityState::Held, refused()]), "refused: no");
        let dropped = vec![
            PriorityState::Dropped(NS_PER_S * 9),
            PriorityState::Held,
            PriorityState::Dropped(NS_PER_S * 16 / 5),
        ];
        assert_eq!(worst(dropped), "dropped after 3.2 s");
    }

    #[test]
    fn a_thread_that_is_busy_for_half_of_a_window_gives_it_up() {
        let given_up_by = |share: i64| {
            let mut priority = Priority {
                state: PriorityState::Held,
                look_at_ns: WINDOW_NS,
                looked_ns: 0,
                used_ns: thread_cpu_ns() - WINDOW_NS * share / 100,
            };
            priority.observe(WINDOW_NS - 1);
            assert_eq!(priority.state, PriorityState::Held);
            priority.observe(WINDOW_NS);
            priority.state()
        };
        assert_eq!(given_up_by(40), PriorityState::Held);
        assert_eq!(given_up_by(51), PriorityState::Dropped(WINDOW_NS));
    }

    #[test]
    fn who_has_no_real_time_priority_has_short_slices_where_the_kernel_knows_them() {
        let told = thread::spawn(|| {
            Priority::new(false, 0);
            std::fs::read_to_string("/proc/thread-self/sched").unwrap_or_default()
        });
        let told = told.join().unwrap();
        let slice = told.lines().find(|line| line.starts_with("se.slice"));
        assert!(slice.is_none_or(|line| line.ends_with(" 100000")), "{slice:?}");
    }

    #[test]
    fn nobody_who_did_not_ask_is_looked_at() {
        let mut priority = Priority::new(false, 0);
        priority.observe(i64::MAX - 1);
        assert_eq!(priority.state(), PriorityState::NotAsked);
    }
}
