//! What the threads of a run share: its plan and what was made ready for it, how it is told to begin and to end.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::awake::Awake;
use crate::clock::monotonic_ns;
use crate::control::{AT_ONCE_NS, Control, Counters};
use crate::error::StartError;
use crate::expect::FirstBody;
use crate::http1::{Http1, Prepared};
use crate::plan::{Plan, Step};
use crate::protocol::Protocol;
use crate::receive_clock::{ReceiveClock, Stamping, UsedReceiveClock};
use crate::start::{Start, StartBarrier};
use crate::tls::TlsSetup;

/// What the threads of a run share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) plan: Plan,
    /// The requests as they are written, by step and input.
    pub(super) prepared: Vec<Vec<Prepared>>,
    pub(super) tls: Vec<Option<TlsSetup>>,
    /// By step, then by input.
    pub(super) first_bodies: Vec<Vec<FirstBody>>,
    /// Connections to one address that descriptors allow an open loop.
    pub(super) most_open: u32,
    pub(super) control: Arc<Control>,
    pub(super) counters: Vec<Counters>,
    pub(super) barrier: StartBarrier,
    pub(super) awake: Awake,
    pub(super) stamping: Option<Stamping>,
    pub(super) used_receive_clock: UsedReceiveClock,
    pub(super) life: Mutex<Life>,
    pub(super) ended: Condvar,
}

#[derive(Debug)]
pub(super) struct Life {
    pub(super) running: u32,
    pub(super) ended_ns: i64,
    pub(super) was_stopped: bool,
}

/// Begin to have the kernel's time of arrival, and tell what became of it.
pub(super) fn stamping(plan: &Plan) -> Result<(Option<Stamping>, UsedReceiveClock), StartError> {
    let asked = plan.receive_clock;
    if asked == ReceiveClock::User {
        return Ok((None, UsedReceiveClock::User));
    }
    let has_unix = plan.addresses.iter().any(|address| address.unix.is_some());
    let begun = if has_unix {
        Err(io::Error::other("a Unix socket has no time of arrival"))
    } else {
        Stamping::begin()
    };
    match begun {
        Ok(stamping) => Ok((Some(stamping), UsedReceiveClock::Kernel)),
        Err(error) if asked == ReceiveClock::Auto => Ok((None, UsedReceiveClock::Refused(error.to_string()))),
        Err(error) => Err(StartError::ReceiveClock(error)),
    }
}

impl Shared {
    pub(super) fn new(
        plan: Plan,
        tls: Vec<Option<TlsSetup>>,
        most_open: u32,
        (stamping, used_receive_clock): (Option<Stamping>, UsedReceiveClock),
        start: Start,
    ) -> io::Result<Self> {
        let control = Control::new(plan.threads, plan.foreground(), plan.has_background())?;
        Ok(Self {
            control: Arc::new(control),
            stamping,
            used_receive_clock,
            most_open,
            counters: (0..plan.threads).map(|_| Counters::default()).collect(),
            barrier: StartBarrier::new(plan.threads, start),
            life: Mutex::new(Life {
                running: plan.threads,
                ended_ns: 0,
                was_stopped: false,
            }),
            ended: Condvar::new(),
            first_bodies: plan.steps.iter().map(Step::first_bodies).collect(),
            awake: Awake::default(),
            prepared: plan.steps.iter().map(prepared).collect(),
            tls,
            plan,
        })
    }

    /// End without another request, whether or not it has begun.
    pub(super) fn end_at_once(&self) {
        self.control.stop_at(AT_ONCE_NS);
        self.control.cancel_at(AT_ONCE_NS);
        self.barrier.release();
    }

    pub(super) fn reduced_connections(&self) -> u32 {
        let wanted = self.plan.open_connections().into_iter().max().unwrap_or(0);
        if wanted > self.most_open {
            self.most_open
        } else {
            0
        }
    }

    pub(super) fn lock_life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since the origin; negative before it.
    pub(super) fn elapsed_ns(&self) -> i64 {
        self.barrier
            .origin()
            .map_or(-1, |origin| monotonic_ns() - origin.monotonic_ns)
    }

    /// The time at which a thread ends that does so now; of a run that was ended before its origin, nothing is after it.
    pub(super) fn ended_ns(&self) -> i64 {
        match self.control.stop_at_ns() {
            AT_ONCE_NS => 0,
            _ => self.elapsed_ns().max(0),
        }
    }
}

fn prepared(step: &Step) -> Vec<Prepared> {
    step.requests.iter().map(Http1::prepare).collect()
}
