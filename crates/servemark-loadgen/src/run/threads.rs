//! The threads of a run: how they are started, what each generator does, and how its end is noticed.

use std::fs;
use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::thread;

use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::thread::set_current_timer_slack;

use super::{Shared, Threads};
use crate::control::AT_ONCE_NS;
use crate::driver::{Driver, Surroundings, Tally};
use crate::http1::Http1;
use crate::load::Loads;
use crate::plan::Plan;
use crate::recorder::{Recorder, Writer, WriterHandle};

/// Descriptors left for what a process may open besides the connections of a run.
const SPARE_DESCRIPTORS: u64 = 64;
/// An epoll instance and a waker.
const DESCRIPTORS_A_THREAD: u64 = 2;

/// Notes the end of a generator thread, whether it returned or panicked.
struct Presence<'run> {
    shared: &'run Shared,
    is_before_start: bool,
    is_complete: bool,
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        if self.is_before_start {
            self.shared.barrier.leave();
        }
        if !self.is_complete {
            self.shared.control.stop_at(AT_ONCE_NS);
            self.shared.control.cancel_at(AT_ONCE_NS);
        }
        let mut life = self.shared.lock_life();
        life.running -= 1;
        life.ended_ns = self.shared.elapsed_ns().max(0);
        let is_last = life.running == 0;
        drop(life);
        self.shared.ended.notify_all();
        if is_last {
            self.shared.let_sleep();
        }
    }
}

/// Start the threads of a run.
pub(super) fn spawn(shared: &Arc<Shared>, writer: Writer, handle: WriterHandle) -> io::Result<Threads> {
    let control = Arc::clone(&shared.control);
    let writer = thread::Builder::new()
        .name("records".into())
        .spawn(move || writer.run(&control))?;
    let mut generators = Vec::new();
    for number in 0..shared.plan.threads {
        let own = Arc::clone(shared);
        let recorder = handle.clone().recorder();
        let handle = handle.clone();
        let spawned = thread::Builder::new()
            .name(format!("generator-{number}"))
            .spawn(move || generate(&own, number, recorder, &handle));
        match spawned {
            Ok(generator) => generators.push(generator),
            Err(error) => {
                // Those that run already must not wait for the one that will never come.
                shared.control.stop_at(AT_ONCE_NS);
                shared.control.cancel_at(AT_ONCE_NS);
                (number..shared.plan.threads).for_each(|_| shared.barrier.leave());
                return Err(error);
            }
        }
    }
    // The writer ends when the last handle is gone: only the generators keep one.
    drop(handle);
    Ok(Threads { generators, writer })
}

/// The life of a generator thread.
fn generate(shared: &Shared, thread: u32, recorder: Recorder, writer: &WriterHandle) -> io::Result<Tally> {
    let mut presence = Presence {
        shared,
        is_before_start: true,
        is_complete: false,
    };
    // Where it is refused, waits are 50 us longer.
    let _ = set_current_timer_slack(NonZeroU64::new(1));
    let load = Loads::new(&shared.plan, thread);
    let connections = load.connections(shared.most_open);
    let around = Surroundings {
        plan: &shared.plan,
        thread,
        tls: &shared.tls,
        control: &shared.control,
        counters: &shared.counters[thread as usize],
        first_bodies: &shared.first_bodies,
        has_stamps: shared.stamping.is_some(),
    };
    let driver: Driver<'_, _, Http1<'_>> = Driver::new(around, load, &connections.limits, recorder)?;
    let tally = driver.run(&connections.before_start, || {
        presence.is_before_start = false;
        let origin = shared.barrier.wait();
        if thread == 0 {
            writer.started(origin.unix_ns);
        }
        origin.monotonic_ns
    })?;
    presence.is_complete = true;
    Ok(tally)
}

/// Raise the limit on open files, as far as it may be, to what the plan's connections need. Returns how many connections
/// to one address that leaves an open loop: `u32::MAX` when it lacks none, else what fits and the outcome tells.
///
/// Where not even the users of closed loops have one each, opening fails and the records say so.
pub(super) fn allow_descriptors(plan: &Plan) -> u32 {
    let used = fs::read_dir("/proc/self/fd").map_or(0, |open| open.count() as u64);
    let closed = plan.users().saturating_mul(plan.addresses.len() as u64);
    let others = closed + used + SPARE_DESCRIPTORS + u64::from(plan.threads) * DESCRIPTORS_A_THREAD;
    let of_open = plan.open_connections();
    let wanted: u64 = of_open.iter().copied().map(u64::from).sum();
    let left = raise_descriptors(others + wanted).saturating_sub(others);
    if left >= wanted {
        return u32::MAX;
    }
    let open_addresses = of_open.iter().filter(|&&most| most > 0).count() as u64;
    u32::try_from(left / open_addresses.max(1))
        .unwrap_or(u32::MAX)
        .max(plan.threads)
}

/// Raise the limit on open files to `needed`, or as far as it may be. Returns the limit.
fn raise_descriptors(needed: u64) -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        limit.current = Some(limit.maximum.map_or(needed, |maximum| maximum.min(needed)));
        let _ = setrlimit(Resource::Nofile, limit);
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::error::RunError;
    use crate::plan::tests::simple_plan;
    use crate::receive_clock::ReceiveClockGot;
    use crate::run::Run;

    #[test]
    fn a_panic_ends_the_run_with_an_error_and_leaves_nobody_waiting() {
        let mut plan = simple_plan(80, 2, 1);
        plan.threads = 2;
        let shared =
            Arc::new(Shared::new(plan, vec![None], u32::MAX, (None, ReceiveClockGot::User)).unwrap());
        let generator = |is_broken: bool| {
            let own = Arc::clone(&shared);
            thread::spawn(move || {
                let mut presence = Presence {
                    shared: &own,
                    is_before_start: true,
                    is_complete: false,
                };
                assert!(!is_broken, "out of order");
                presence.is_before_start = false;
                own.barrier.wait();
                presence.is_complete = true;
                Ok(Tally::default())
            })
        };
        let threads = Threads {
            generators: vec![generator(false), generator(true)],
            writer: thread::spawn(|| None),
        };
        let run = Run {
            shared: Arc::clone(&shared),
            threads: Mutex::new(Some(threads)),
            outcome: Mutex::new(None),
        };
        assert!(run.wait(Duration::from_secs(5)));
        assert_eq!(shared.control.stop_at_ns(), AT_ONCE_NS);
        let error = RunError("a generator thread panicked: out of order".into());
        assert_eq!(run.finish().unwrap_err(), error);
        assert_eq!(run.finish().unwrap_err(), error);
    }
}
