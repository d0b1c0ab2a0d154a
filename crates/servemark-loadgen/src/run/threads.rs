//! The threads of a run: how they are started, what each generator does, and how its end is noticed.

use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::thread;

use rustix::thread::set_current_timer_slack;

use super::{Shared, Threads};
use crate::driver::{Driver, Surroundings, Tally};
use crate::http1::Http1;
use crate::load::Loads;
use crate::recorder::Recorder;
use crate::writer::{Writer, WriterHandle};

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
            self.shared.end_at_once();
        }
        let mut life = self.shared.lock_life();
        life.running -= 1;
        life.ended_ns = self.shared.ended_ns();
        let is_last = life.running == 0;
        drop(life);
        self.shared.ended.notify_all();
        if is_last {
            self.shared.awake.end();
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
                shared.end_at_once();
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
    let driver: Driver<'_, _, Http1<'_>> =
        Driver::new(around, &shared.prepared, load, &connections.limits, recorder)?;
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::control::AT_ONCE_NS;
    use crate::error::RunError;
    use crate::plan::tests::simple_plan;
    use crate::receive_clock::UsedReceiveClock;
    use crate::run::Run;
    use crate::start::Start;

    #[test]
    fn a_run_that_was_stopped_before_its_origin_took_no_time_however_late_its_threads_wake() {
        let clock = (None, UsedReceiveClock::User);
        let shared = Shared::new(
            simple_plan(80, 2, 1),
            vec![None],
            u32::MAX,
            clock,
            Start::WhenTold,
        )
        .unwrap();
        shared.end_at_once();
        let presence = Presence {
            shared: &shared,
            is_before_start: false,
            is_complete: true,
        };
        shared.barrier.wait();
        while shared.elapsed_ns() <= 0 {
            thread::sleep(Duration::from_millis(1));
        }
        drop(presence);
        let life = shared.lock_life();
        assert_eq!((life.running, life.ended_ns), (0, 0));
    }

    #[test]
    fn a_panic_ends_the_run_with_an_error_and_leaves_nobody_waiting() {
        let mut plan = simple_plan(80, 2, 1);
        plan.threads = 2;
        let shared = Arc::new(
            Shared::new(
                plan,
                vec![None],
                u32::MAX,
                (None, UsedReceiveClock::User),
                Start::WhenReady,
            )
            .unwrap(),
        );
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
