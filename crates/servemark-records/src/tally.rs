//! What the records of a run add up to, a step name at a time: one pass, and further ones for order statistics.

use std::collections::BTreeMap;
use std::io;
use std::ops::AddAssign;

use crate::sample::{Sample, Search, Seen};
use crate::table::{Block, Row, Table, each_row};

/// A closed loop of more users than this is not one of servemark's.
const MOST_USERS: usize = 1 << 24;

/// From a time to another, in nanoseconds from the run's origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Where it begins.
    pub start_ns: i64,
    /// Where it ends.
    pub end_ns: i64,
}

impl Span {
    /// Of no time at all: whatever is joined to it is what comes of it.
    const NONE: Self = Self {
        start_ns: i64::MAX,
        end_ns: i64::MIN,
    };

    /// From the earlier beginning to the later end.
    fn join(&mut self, other: Self) {
        self.start_ns = self.start_ns.min(other.start_ns);
        self.end_ns = self.end_ns.max(other.end_ns);
    }

    /// From the first of some times to the last; `time_ns` is another one.
    fn include(&mut self, time_ns: i64) {
        self.join(Self {
            start_ns: time_ns,
            end_ns: time_ns,
        });
    }

    fn contains(self, time_ns: i64) -> bool {
        self.start_ns <= time_ns && time_ns < self.end_ns
    }

    /// The number of the part of equal length that a time falls in, clipped to the span.
    fn part(self, time_ns: i64, parts: usize) -> usize {
        let share = (time_ns - self.start_ns) as f64 / (self.end_ns - self.start_ns).max(1) as f64;
        (share * parts as f64).clamp(0.0, (parts - 1) as f64) as usize
    }
}

/// What is asked of records.
#[derive(Clone, Debug)]
pub struct Question {
    /// Of each step of the plan, the place of its name among the names: steps of one name are one.
    pub places: Vec<usize>,
    /// Successes scheduled in it make the latencies, successes that end in it (its end included) the rate.
    pub window: Span,
    /// Into so many parts of equal time the window is cut.
    pub batches: usize,
    /// When the generator paused for longest; empty when it did not.
    pub pause: Span,
    /// The time over which requests under way are summed up.
    pub accounted: Span,
    /// The stages of a profile of rates: in order, and apart.
    pub stages: Vec<Span>,
    /// Of each step of the plan, whether an arrival of an open loop begins with it, and whether it ends with it.
    pub begins: Vec<bool>,
    /// See `begins`.
    pub ends: Vec<bool>,
    /// Whether to note when each user had its first and last request.
    pub users: bool,
}

/// The samples of each step name, by number; those of stages follow all of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// From the schedule to the end.
    Response,
    /// From the first byte sent to the end.
    Service,
    /// Waiting for a connection.
    ClientQueue,
    /// What is left: the generator was late.
    GeneratorLag,
    /// Of an open loop, what a generator that is never late would have: response without lag.
    Punctual,
    /// The headline's latency, where its end is not a mere reading of the clock.
    Stamped,
    /// The headline's latency, where the answer did not come while the generator paused for longest.
    Unpaused,
    /// The response of failures.
    Failed,
    /// From where the headline counts to the first event of a stream that had one.
    FirstEvent,
    /// Events of each stream.
    Events,
}

/// How many samples a step name has.
pub const SAMPLES: usize = Of::Events as usize + 1;
/// The first of [`Of`] are the latencies that are summed up by batch.
pub const LATENCIES: usize = Of::GeneratorLag as usize + 1;

/// What one step name adds up to.
#[derive(Clone, Debug)]
pub struct Step {
    /// Of everything that was sent, the warm-up too.
    pub requests: u64,
    /// Those of a closed loop.
    pub closed: u64,
    /// Those that succeeded.
    pub succeeded: u64,
    /// Bytes of requests.
    pub bytes_sent: u64,
    /// Bytes of responses.
    pub bytes_received: u64,
    /// Failures by kind and status.
    pub errors: BTreeMap<(u8, u16), u64>,
    /// Bytes of responses of the successes that ended in the window.
    pub bytes_of_completed: u64,
    /// How many measured records have an end that is a reading of the clock.
    pub clock_read: u64,
    /// How many may have left later than they say.
    pub unsure_sent: u64,
    /// How many may have been answered while the generator paused for longest.
    pub paused: u64,
    /// For how long the answers of measured records lay there unread, together.
    pub receive_lag_ns: i128,
    /// Whether any response streamed, and how many events there were in all of them.
    pub streamed: u64,
    /// Events of everything that was sent.
    pub events: u64,
    /// Streams among the successes that ended in the window.
    pub completed_streams: u64,
    /// By batch: measured records, by when they were scheduled.
    pub batch_measured: Vec<u64>,
    /// By batch: the sums of their latencies, in the order of [`Of`].
    pub batch_sums: [Vec<i128>; LATENCIES],
    /// By batch: successes that ended in the window.
    pub batch_completed: Vec<u64>,
    /// By batch: the events of streams among these.
    pub batch_events: Vec<u64>,
    /// By batch: streams that had an event, of the measured ones.
    pub batch_first: Vec<u64>,
    /// By batch: the sums of the times to it.
    pub batch_first_sums: Vec<i128>,
}

/// What one stage of a profile of rates adds up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    /// Requests that were scheduled in it.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those with which an arrival began.
    pub begun: u64,
    /// Successes that ended in it, and an arrival with them.
    pub ended: u64,
}

/// Arrivals of an open loop that were scheduled in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// How many.
    pub count: u64,
    /// When the first was due; meaningless of none, as is `last_ns`.
    pub first_ns: i64,
    /// When the last was due.
    pub last_ns: i64,
}

/// Requests under way for the generator: from the first byte written until it had read the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnderWay {
    /// Those that were sent at all.
    pub sent: u64,
    /// How long they were under way, summed over the part that lies in the accounted time.
    pub in_flight_ns: i128,
    /// How many of them ended in it.
    pub completions: u64,
}

/// What the records of a run add up to.
#[derive(Debug)]
pub struct Tally {
    tables: Vec<Table>,
    question: Question,
    /// A step name each.
    pub steps: Vec<Step>,
    /// Those of the step names, [`SAMPLES`] of each in the order of [`Of`], then the responses and the queueing of each stage.
    pub samples: Vec<Sample>,
    /// A stage each.
    pub stages: Vec<Stage>,
    /// Of an open loop.
    pub begun: Begun,
    /// The generator's own count is held against it.
    pub under_way: UnderWay,
    /// Of a closed loop: from the last first request of a user to the first last one; empty where nobody was asked for.
    pub busy: Span,
    /// Of each table and block the latest end among its rows that were sent.
    pub latest_ends: Vec<Vec<i64>>,
}

/// The first time at which anything was scheduled, and the last end; empty without records.
pub fn span(tables: &[Table]) -> io::Result<Span> {
    let parts = each_row(
        tables,
        || Span::NONE,
        |span, _, row| {
            span.join(Span {
                start_ns: row.scheduled_ns,
                end_ns: row.end_ns,
            });
        },
    )?;
    let mut whole = Span::NONE;
    for part in parts {
        whole.join(part);
    }
    Ok(if whole == Span::NONE {
        Span::default()
    } else {
        whole
    })
}

/// Of each table and block the latest end among its rows that were sent.
#[cfg(test)]
pub(crate) fn latest_ends(tables: &[Table]) -> io::Result<Vec<Vec<i64>>> {
    let parts = each_row(tables, Vec::new, |ends: &mut Vec<(Block, i64)>, block, row| {
        note_end(ends, block, row);
    })?;
    Ok(by_table(tables, parts))
}

impl Tally {
    /// Add up all records of `tables`.
    ///
    /// A step that the question does not know, or a user beyond all numbers, is invalid data.
    pub fn new(tables: Vec<Table>, question: Question) -> io::Result<Self> {
        let parts = each_row(
            &tables,
            || Part::new(&question),
            |part, block, row| part.look(&question, block, row),
        )?;
        let mut whole = Part::new(&question);
        let mut ends = Vec::new();
        for mut part in parts {
            ends.push(std::mem::take(&mut part.ends));
            whole.merge(part);
        }
        if let Some(fault) = whole.fault {
            return Err(io::Error::new(io::ErrorKind::InvalidData, fault));
        }
        Ok(Self {
            latest_ends: by_table(&tables, ends),
            tables,
            question,
            steps: whole.steps,
            samples: whole.samples,
            stages: whole.stages,
            begun: whole.begun,
            under_way: whole.under_way,
            busy: busy(&whole.users),
        })
    }

    /// The records that it is of.
    #[must_use]
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// The values of samples that have the given ranks, from 0; each entry is the number of a sample and its ranks.
    ///
    /// Ranks beyond a sample have no value. Passes over the records are made until all are found.
    pub fn order_statistics(&self, wanted: &[(usize, Vec<u64>)]) -> io::Result<Vec<Vec<Option<i64>>>> {
        let mut searches: Vec<Option<Search>> = self.samples.iter().map(|_| None).collect();
        for (sample, ranks) in wanted {
            searches[*sample] = Some(Search::new(&self.samples[*sample], ranks));
        }
        while searches.iter().flatten().any(|search| !search.is_done()) {
            let open: Vec<Option<&Search>> = searches
                .iter()
                .map(|search| search.as_ref().filter(|search| !search.is_done()))
                .collect();
            let start = || {
                open.iter()
                    .map(|search| search.map(Search::seen))
                    .collect::<Vec<Option<Seen>>>()
            };
            let parts = each_row(&self.tables, start, |seen, _, row| {
                self.question.each_value(row, &mut |sample, value| {
                    if let (Some(search), Some(seen)) = (open[sample], &mut seen[sample]) {
                        search.look(seen, value);
                    }
                });
            })?;
            let mut of_samples: Vec<Vec<Seen>> = self.samples.iter().map(|_| Vec::new()).collect();
            for part in parts {
                for (of_sample, seen) in of_samples.iter_mut().zip(part) {
                    of_sample.extend(seen);
                }
            }
            for (search, seen) in searches.iter_mut().zip(of_samples) {
                if let Some(search) = search.as_mut().filter(|_| !seen.is_empty()) {
                    search.take(seen);
                }
            }
        }
        let found = wanted.iter().map(|(sample, ranks)| {
            let search = searches[*sample].as_ref();
            ranks
                .iter()
                .map(|rank| search.and_then(|search| search.value(*rank)))
                .collect()
        });
        Ok(found.collect())
    }
}

/// The four latencies of a record that was sent, in the order of [`Of`] (docs/design.md, measurement rule 2).
///
/// In an open loop `ready` is when a generator that is never late could have sent, in a closed one when this one knew:
/// there all is the generator's lag but the time in which the connection was opened.
fn latencies(row: &Row) -> [i64; LATENCIES] {
    let mut queue = row.ready_ns - row.scheduled_ns;
    if row.is_closed {
        queue = queue.min(row.opening_us as i64 * 1000);
    }
    [
        row.end_ns - row.scheduled_ns,
        row.end_ns - row.sent_ns,
        queue,
        row.sent_ns - row.scheduled_ns - queue,
    ]
}

/// From when the headline of a record counts.
fn begun_ns(row: &Row) -> i64 {
    if row.is_closed && row.sent_ns >= 0 {
        row.sent_ns
    } else {
        row.scheduled_ns
    }
}

impl Question {
    fn names(&self) -> usize {
        self.places.iter().max().map_or(0, |last| last + 1)
    }

    fn is_in_pause(&self, row: &Row) -> bool {
        row.sent_ns < self.pause.end_ns && row.end_ns > self.pause.start_ns
    }

    fn stage(&self, time_ns: i64) -> Option<usize> {
        let after = self.stages.partition_point(|stage| stage.start_ns <= time_ns);
        after
            .checked_sub(1)
            .filter(|stage| self.stages[*stage].contains(time_ns))
    }

    /// Give each value that a record adds to a sample, with the sample's number.
    fn each_value(&self, row: &Row, put: &mut impl FnMut(usize, i64)) {
        let Some(place) = self.places.get(usize::from(row.step)) else {
            return;
        };
        let mut put_of = |of: Of, value: i64| put(place * SAMPLES + of as usize, value);
        let is_measured = self.window.contains(row.scheduled_ns);
        if is_measured && row.kind != 0 {
            put_of(Of::Failed, row.end_ns - row.scheduled_ns);
        } else if is_measured {
            let [response, service, queue, lag] = latencies(row);
            put_of(Of::Response, response);
            put_of(Of::Service, service);
            put_of(Of::ClientQueue, queue);
            put_of(Of::GeneratorLag, lag);
            let headline = if row.is_closed { service } else { response };
            if !row.is_closed {
                put_of(Of::Punctual, response - lag);
            }
            if !row.is_clock_read {
                put_of(Of::Stamped, headline);
            }
            if self.pause.start_ns < self.pause.end_ns && !self.is_in_pause(row) {
                put_of(Of::Unpaused, headline);
            }
            if row.is_streamed {
                put_of(Of::Events, i64::from(row.events));
                if row.events > 0 {
                    put_of(Of::FirstEvent, row.first_event_ns - begun_ns(row));
                }
            }
        }
        if row.kind == 0
            && let Some(stage) = self.stage(row.scheduled_ns)
        {
            let first = self.names() * SAMPLES + 2 * stage;
            put(first, row.end_ns - row.scheduled_ns);
            put(first + 1, row.ready_ns - row.scheduled_ns);
        }
    }
}

/// What one thread has gathered.
struct Part {
    steps: Vec<Step>,
    samples: Vec<Sample>,
    stages: Vec<Stage>,
    begun: Begun,
    under_way: UnderWay,
    /// First and last time, by user.
    users: Vec<Option<Span>>,
    ends: Vec<(Block, i64)>,
    fault: Option<String>,
}

impl Part {
    fn new(question: &Question) -> Self {
        let names = question.names();
        Self {
            steps: (0..names).map(|_| Step::new(question.batches)).collect(),
            samples: vec![Sample::default(); names * SAMPLES + 2 * question.stages.len()],
            stages: vec![Stage::default(); question.stages.len()],
            begun: Begun {
                count: 0,
                first_ns: i64::MAX,
                last_ns: i64::MIN,
            },
            under_way: UnderWay::default(),
            users: Vec::new(),
            ends: Vec::new(),
            fault: None,
        }
    }

    fn look(&mut self, question: &Question, block: Block, row: &Row) {
        let Some(place) = question.places.get(usize::from(row.step)) else {
            self.fault = Some(format!("there is no step {}", row.step));
            return;
        };
        self.steps[*place].look(question, row);
        question.each_value(row, &mut |sample, value| self.samples[sample].add(value));
        self.look_at_arrival(question, row);
        self.look_at_time_under_way(question.accounted, row);
        if question.users {
            self.look_at_user(row);
        }
        note_end(&mut self.ends, block, row);
    }

    fn look_at_arrival(&mut self, question: &Question, row: &Row) {
        let step = usize::from(row.step);
        let is_begun = question.begins.get(step).copied().unwrap_or(false);
        if is_begun && question.window.contains(row.scheduled_ns) {
            self.begun.count += 1;
            self.begun.first_ns = self.begun.first_ns.min(row.scheduled_ns);
            self.begun.last_ns = self.begun.last_ns.max(row.scheduled_ns);
        }
        if question.stages.is_empty() {
            return;
        }
        if let Some(stage) = question.stage(row.scheduled_ns) {
            let stage = &mut self.stages[stage];
            stage.requests += 1;
            stage.failed += u64::from(row.kind != 0);
            stage.begun += u64::from(is_begun);
        }
        if row.kind == 0
            && question.ends.get(step).copied().unwrap_or(false)
            && let Some(stage) = question.stage(row.end_ns)
        {
            self.stages[stage].ended += 1;
        }
    }

    fn look_at_time_under_way(&mut self, accounted: Span, row: &Row) {
        if row.sent_ns < 0 {
            return;
        }
        let inside = |time_ns: i64| {
            time_ns
                .min(accounted.end_ns)
                .max(accounted.start_ns.min(accounted.end_ns))
        };
        self.under_way.sent += 1;
        self.under_way.in_flight_ns += i128::from(inside(row.read_ns) - inside(row.sent_ns));
        self.under_way.completions += u64::from(accounted.contains(row.read_ns));
    }

    fn look_at_user(&mut self, row: &Row) {
        let user = row.user as usize;
        if user >= MOST_USERS {
            self.fault = Some(format!("there is no user {user}"));
            return;
        }
        if self.users.len() <= user {
            self.users.resize(user + 1, None);
        }
        self.users[user]
            .get_or_insert(Span::NONE)
            .include(row.scheduled_ns);
    }

    fn merge(&mut self, other: Self) {
        self.steps
            .iter_mut()
            .zip(other.steps)
            .for_each(|(own, others)| own.merge(others));
        self.samples
            .iter_mut()
            .zip(other.samples)
            .for_each(|(own, others)| own.merge(others));
        for (own, others) in self.stages.iter_mut().zip(other.stages) {
            own.requests += others.requests;
            own.failed += others.failed;
            own.begun += others.begun;
            own.ended += others.ended;
        }
        self.begun = Begun {
            count: self.begun.count + other.begun.count,
            first_ns: self.begun.first_ns.min(other.begun.first_ns),
            last_ns: self.begun.last_ns.max(other.begun.last_ns),
        };
        self.under_way.sent += other.under_way.sent;
        self.under_way.in_flight_ns += other.under_way.in_flight_ns;
        self.under_way.completions += other.under_way.completions;
        if self.users.len() < other.users.len() {
            self.users.resize(other.users.len(), None);
        }
        for (own, others) in self.users.iter_mut().zip(other.users) {
            if let Some(others) = others {
                own.get_or_insert(Span::NONE).join(others);
            }
        }
        self.fault = self.fault.take().or(other.fault);
    }
}

impl Step {
    fn new(batches: usize) -> Self {
        Self {
            requests: 0,
            closed: 0,
            succeeded: 0,
            bytes_sent: 0,
            bytes_received: 0,
            errors: BTreeMap::new(),
            bytes_of_completed: 0,
            clock_read: 0,
            unsure_sent: 0,
            paused: 0,
            receive_lag_ns: 0,
            streamed: 0,
            events: 0,
            completed_streams: 0,
            batch_measured: vec![0; batches],
            batch_sums: std::array::from_fn(|_| vec![0; batches]),
            batch_completed: vec![0; batches],
            batch_events: vec![0; batches],
            batch_first: vec![0; batches],
            batch_first_sums: vec![0; batches],
        }
    }

    fn look(&mut self, question: &Question, row: &Row) {
        let (window, batches) = (question.window, self.batch_measured.len());
        let is_measured = window.contains(row.scheduled_ns);
        self.requests += 1;
        self.closed += u64::from(row.is_closed);
        self.bytes_sent += u64::from(row.bytes_sent);
        self.bytes_received += u64::from(row.bytes_received);
        if row.is_streamed {
            self.streamed += 1;
            self.events += u64::from(row.events);
        }
        if row.kind != 0 {
            *self.errors.entry((row.kind, row.status)).or_default() += 1;
            return;
        }
        self.succeeded += 1;
        if window.start_ns <= row.end_ns && row.end_ns <= window.end_ns {
            let batch = window.part(row.end_ns, batches);
            self.batch_completed[batch] += 1;
            self.bytes_of_completed += u64::from(row.bytes_received);
            if row.is_streamed {
                self.completed_streams += 1;
                self.batch_events[batch] += u64::from(row.events);
            }
        }
        if is_measured {
            let batch = window.part(row.scheduled_ns, batches);
            self.batch_measured[batch] += 1;
            for (sums, latency) in self.batch_sums.iter_mut().zip(latencies(row)) {
                sums[batch] += i128::from(latency);
            }
            if row.is_streamed && row.events > 0 {
                self.batch_first[batch] += 1;
                self.batch_first_sums[batch] += i128::from(row.first_event_ns - begun_ns(row));
            }
            self.clock_read += u64::from(row.is_clock_read);
            self.unsure_sent += u64::from(row.is_unsure_sent);
            self.paused += u64::from(question.is_in_pause(row));
            self.receive_lag_ns += i128::from(row.read_ns - row.end_ns);
        }
    }

    fn merge(&mut self, other: Self) {
        self.requests += other.requests;
        self.closed += other.closed;
        self.succeeded += other.succeeded;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        for (error, count) in other.errors {
            *self.errors.entry(error).or_default() += count;
        }
        self.bytes_of_completed += other.bytes_of_completed;
        self.clock_read += other.clock_read;
        self.unsure_sent += other.unsure_sent;
        self.paused += other.paused;
        self.receive_lag_ns += other.receive_lag_ns;
        self.streamed += other.streamed;
        self.events += other.events;
        self.completed_streams += other.completed_streams;
        add_all(&mut self.batch_measured, &other.batch_measured);
        for (own, others) in self.batch_sums.iter_mut().zip(&other.batch_sums) {
            add_all(own, others);
        }
        add_all(&mut self.batch_completed, &other.batch_completed);
        add_all(&mut self.batch_events, &other.batch_events);
        add_all(&mut self.batch_first, &other.batch_first);
        add_all(&mut self.batch_first_sums, &other.batch_first_sums);
    }
}

fn add_all<Number: AddAssign + Copy>(own: &mut [Number], others: &[Number]) {
    own.iter_mut()
        .zip(others)
        .for_each(|(own, others)| *own += *others);
}

fn note_end(ends: &mut Vec<(Block, i64)>, block: Block, row: &Row) {
    if ends.last().is_none_or(|(last, _)| *last != block) {
        ends.push((block, i64::MIN));
    }
    if row.sent_ns >= 0
        && let Some((_, latest_ns)) = ends.last_mut()
    {
        *latest_ns = row.end_ns.max(*latest_ns);
    }
}

fn by_table(tables: &[Table], parts: Vec<Vec<(Block, i64)>>) -> Vec<Vec<i64>> {
    let mut ends: Vec<Vec<i64>> = tables.iter().map(|_| Vec::new()).collect();
    for (block, latest_ns) in parts.into_iter().flatten() {
        ends[block.table].push(latest_ns);
    }
    ends
}

/// From the last first time to the first last one.
fn busy(users: &[Option<Span>]) -> Span {
    let active = users.iter().flatten();
    let whole = active.copied().reduce(|one, other| Span {
        start_ns: one.start_ns.max(other.start_ns),
        end_ns: one.end_ns.min(other.end_ns),
    });
    whole.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::{Times, table};

    fn question() -> Question {
        Question {
            places: vec![0, 1, 0],
            window: Span {
                start_ns: 100,
                end_ns: 1000,
            },
            batches: 9,
            pause: Span::default(),
            accounted: Span {
                start_ns: 0,
                end_ns: 500,
            },
            stages: vec![
                Span {
                    start_ns: 0,
                    end_ns: 300,
                },
                Span {
                    start_ns: 300,
                    end_ns: 400,
                },
            ],
            begins: vec![true, false, true],
            ends: vec![true, true, false],
            users: true,
        }
    }

    fn tally(times: &[Times]) -> (crate::table::tests::TestFile, io::Result<Tally>) {
        let (file, table) = table(times);
        (file, Tally::new(vec![table], question()))
    }

    #[test]
    fn steps_of_one_name_are_one() {
        let times: Vec<Times> = (0..12)
            .map(|number| Times {
                scheduled: number * 100,
                sent: number * 100 + 10,
                end: number * 100 + 30,
                user: 0,
                step: number as u16 % 3,
            })
            .collect();
        let (_file, found) = tally(&times);
        let found = found.unwrap();
        let [first, second] = &found.steps[..] else {
            panic!("two names")
        };
        assert_eq!((first.requests, second.requests), (8, 4));
        assert_eq!(
            (
                first.succeeded,
                first.closed,
                first.bytes_sent,
                first.bytes_received
            ),
            (8, 8, 80, 160)
        );
        assert_eq!(
            found.samples[Of::Service as usize].count,
            6,
            "0, 1000 and 1100 are not measured, and 1 4 7 are others'"
        );
        assert_eq!(found.samples[Of::Service as usize].sum, 6 * 20);
        assert_eq!(found.samples[SAMPLES + Of::Response as usize].sum, 3 * 30);
        assert_eq!(first.batch_measured, [0, 1, 1, 0, 1, 1, 0, 1, 1]);
        assert_eq!(
            first.batch_sums[Of::GeneratorLag as usize],
            [0, 10, 10, 0, 10, 10, 0, 10, 10]
        );
        assert_eq!(first.receive_lag_ns, 6 * 5);
    }

    #[test]
    fn stages_arrivals_and_time_under_way_are_counted() {
        let at = |scheduled: i64, step: u16, user: u32| Times {
            scheduled,
            sent: scheduled + 1,
            end: scheduled + 150,
            user,
            step,
        };
        let (_file, found) = tally(&[
            at(0, 0, 0),
            at(100, 1, 1),
            at(310, 2, 0),
            at(390, 0, 1),
            at(900, 0, 2),
        ]);
        let found = found.unwrap();
        assert_eq!(
            found.stages[0],
            Stage {
                requests: 2,
                failed: 0,
                begun: 1,
                ended: 2
            }
        );
        assert_eq!(
            found.stages[1],
            Stage {
                requests: 2,
                failed: 0,
                begun: 2,
                ended: 0
            }
        );
        assert_eq!(
            found.begun,
            Begun {
                count: 3,
                first_ns: 310,
                last_ns: 900
            }
        );
        let in_flight_ns = 154 + 154 + 154 + (500 - 391);
        assert_eq!(
            found.under_way,
            UnderWay {
                sent: 5,
                in_flight_ns,
                completions: 3
            }
        );
        assert_eq!(
            found.busy,
            Span {
                start_ns: 900,
                end_ns: 310
            },
            "the third user began when the first had ended"
        );
        let stage_samples = &found.samples[2 * SAMPLES..];
        assert_eq!(
            (
                stage_samples[0].count,
                stage_samples[2].count,
                stage_samples[3].sum
            ),
            (2, 2, 2)
        );
    }

    #[test]
    fn what_is_no_step_or_user_is_invalid() {
        for wrong in [
            Times {
                step: 3,
                ..Times::default()
            },
            Times {
                user: 1 << 30,
                ..Times::default()
            },
        ] {
            let (_file, found) = tally(&[Times::default(), wrong]);
            assert_eq!(found.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn order_statistics_of_many_records_take_another_pass() {
        let times: Vec<Times> = (0..100_000_i64)
            .map(|number| Times {
                scheduled: 100,
                sent: 100,
                end: 100 + (number * 7_919 % 100_000) * 1000,
                ..Times::default()
            })
            .collect();
        let (_file, table) = table(&times);
        let found = Tally::new(vec![table], question()).unwrap();
        let wanted = [
            (Of::Service as usize, vec![0, 49_999, 99_999, 100_000]),
            (Of::Failed as usize, vec![0]),
        ];
        let values = found.order_statistics(&wanted).unwrap();
        assert_eq!(
            values,
            [
                vec![Some(0), Some(49_999_000), Some(99_999_000), None],
                vec![None]
            ]
        );
    }

    #[test]
    fn the_span_is_from_the_first_schedule_to_the_last_end() {
        let (_file, table) = table(&[
            Times {
                scheduled: 50,
                end: 90,
                ..Times::default()
            },
            Times {
                scheduled: 20,
                end: 60,
                ..Times::default()
            },
        ]);
        assert_eq!(
            span(&[table]).unwrap(),
            Span {
                start_ns: 20,
                end_ns: 90
            }
        );
        assert_eq!(span(&[]).unwrap(), Span::default());
    }
}
