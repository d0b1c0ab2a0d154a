//! What is told of a run: counts while it goes on, and in the end what it was.

use super::shared::Shared;
use crate::driver::Tally;
use crate::example::Example;

/// A snapshot of a run; counts are over all threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Since the origin; 0 before it. After the end, its time.
    pub elapsed_ns: i64,
    /// Requests that became due.
    pub scheduled: u64,
    /// Records of kind ok.
    pub succeeded: u64,
    /// Records of other kinds.
    pub failed: u64,
    /// Requests without a record yet.
    pub in_flight: u64,
    /// Records of kind ok that were scheduled after the warm-up, of the headline's steps.
    pub measured_succeeded: u64,
}

/// What a finished run was.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How many records there are.
    pub records: u64,
    /// Wall-clock time of the origin; 0 if the run never came to it.
    pub started_unix_ns: i64,
    /// The duration, the time of a stop, or, when all loops were done before, the last `end`.
    pub scheduling_ended_ns: i64,
    /// A stop cut requests off.
    pub is_interrupted: bool,
    /// User and system time of the generator threads between the start barrier and their last record.
    pub generator_cpu_ns: i64,
    /// What became of real-time priority, e.g. "rr 1" or "dropped after 3.2 s"; empty when it was not asked for.
    pub realtime: String,
    /// Whose time of arrival responses have: "kernel", "user", or why the kernel's could not be had.
    pub receive_clock: String,
    /// How often the wall clock was set meanwhile: responses since then have the time of their reading for a while.
    pub clock_steps: u64,
    /// For how long each thread did not come back to its work although it had to, together.
    pub paused_ns: Vec<i64>,
    /// The 64 longest of these times of each thread, in their order: when each began, at the latest, and when it had ended.
    pub pauses_ns: Vec<Vec<(i64, i64)>>,
    /// What became of keeping CPUs awake, e.g. "2 CPUs" or "refused: ..."; empty when it was not asked for.
    pub keep_awake: String,
    /// CPU time that was spun away to keep them awake; in nobody else's.
    pub spun_cpu_ns: i64,
    /// For how long generator threads could have run and did not, in the same time; 0 where the system does not tell.
    pub run_queue_delay_ns: i64,
    /// How often they began to run; 0 where the system does not tell.
    pub run_queue_waits: u64,
    /// Requests that began to be written.
    pub sent: u64,
    /// Requests under way (from the first byte written to their end) by the drivers' own count, summed from the end of the
    /// warm-up to `scheduling_ended_ns`: request-nanoseconds. A stop that takes effect at once is seen microseconds late.
    pub in_flight_ns: u64,
    /// For how long responses that were ready waited for their thread while it did others' work, together.
    pub receive_lag_ns: u64,
    /// Connections to one address that an open loop could have at most, for lack of descriptors; 0 when it lacked none.
    pub reduced_connections: u32,
    /// The first failure of each step, kind and status, the earliest first.
    pub examples: Vec<Example>,
    /// The times between events of streamed responses: for each step that had some, its index and the V2-deflate bytes of
    /// an HDR histogram of nanoseconds. Of requests that were scheduled after the warm-up.
    pub event_gaps: Vec<(u16, Vec<u8>)>,
    /// Why records could not be written.
    pub write_error: Option<String>,
}

impl Outcome {
    /// What the threads of a run did, together.
    pub(super) fn of(shared: &Shared, total: Tally, write_error: Option<String>) -> Self {
        let natural_end_ns = total.over_ns.unwrap_or(total.last_end_ns);
        let natural_end_ns = natural_end_ns.min(shared.plan.longest_ns());
        let stop_at_ns = shared.control.stop_at_ns();
        let was_stopped = shared.lock_life().was_stopped;
        let origin = shared.barrier.origin();
        let (keep_awake, spun_cpu_ns) = shared.awake.told();
        Self {
            records: total.records,
            started_unix_ns: origin.map_or(0, |origin| origin.unix_ns),
            scheduling_ended_ns: natural_end_ns.min(stop_at_ns).max(0),
            is_interrupted: total.has_cancelled || (was_stopped && natural_end_ns >= stop_at_ns),
            generator_cpu_ns: total.cpu_ns,
            realtime: total.realtime.to_string(),
            receive_clock: shared.used_receive_clock.to_string(),
            clock_steps: total.clock_steps,
            paused_ns: total.pauses.totals_ns,
            pauses_ns: total.pauses.spans_ns,
            keep_awake,
            spun_cpu_ns,
            run_queue_delay_ns: total.run_queue.delay_ns,
            run_queue_waits: total.run_queue.waits,
            sent: total.sent,
            in_flight_ns: total.in_flight_ns,
            receive_lag_ns: total.receive_lag_ns,
            reduced_connections: if total.lacked_descriptors {
                u32::try_from(total.most_connections).unwrap_or(u32::MAX)
            } else {
                shared.reduced_connections()
            },
            examples: total.examples.into_sorted(),
            event_gaps: total.event_gaps.into_bytes(),
            write_error,
        }
    }
}

impl Tally {
    /// What two threads did.
    pub(super) fn merge(&mut self, other: Self) {
        self.records += other.records;
        self.last_end_ns = self.last_end_ns.max(other.last_end_ns);
        self.over_ns = self.over_ns.max(other.over_ns);
        self.has_cancelled |= other.has_cancelled;
        self.most_connections += other.most_connections;
        self.lacked_descriptors |= other.lacked_descriptors;
        self.cpu_ns += other.cpu_ns;
        self.realtime = std::mem::take(&mut self.realtime).with(other.realtime);
        self.run_queue.delay_ns += other.run_queue.delay_ns;
        self.run_queue.waits += other.run_queue.waits;
        self.sent += other.sent;
        self.in_flight_ns += other.in_flight_ns;
        self.receive_lag_ns += other.receive_lag_ns;
        self.clock_steps = self.clock_steps.max(other.clock_steps);
        self.pauses.merge(other.pauses);
        self.examples.merge(other.examples);
        self.event_gaps.merge(other.event_gaps);
    }
}
