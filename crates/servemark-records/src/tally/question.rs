//! What is asked of records, and which values each of them adds to which sample.

use super::span::Span;
use crate::table::{AnswerRow, Row};

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
    /// Of each step name the limits that its requests are to keep at once; empty where it has none.
    pub limits: Vec<Vec<Limit>>,
}

/// A time that requests have to take less than.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    latency: Of,
    below_ns: i64,
}

impl Limit {
    /// On the latency of that name, of those that an objective may have and a record tells; `None` where it is another.
    #[must_use]
    pub fn new(latency: &str, below_ns: i64) -> Option<Self> {
        let latency = match latency {
            "response" => Of::Response,
            "service" => Of::Service,
            "first_event" => Of::FirstEvent,
            "first_token" => Of::FirstToken,
            "time_per_output_token" => Of::TimePerToken,
            _ => return None,
        };
        Some(Self { latency, below_ns })
    }

    /// Whether a success kept it; one that has no such time did not.
    fn is_kept(self, row: &Row) -> bool {
        let until = |time_ns: i64| (time_ns >= 0).then(|| time_ns - begun_ns(row));
        let took_ns = match (self.latency, row.answer) {
            (Of::Response, _) => return row.end_ns - row.scheduled_ns < self.below_ns,
            (Of::Service, _) => return row.end_ns - row.sent_ns < self.below_ns,
            (Of::FirstEvent, _) => until(row.first_event_ns),
            (Of::FirstToken, Some(answer)) => until(answer.first_content_ns),
            (Of::TimePerToken, Some(answer)) => answer.time_per_token_ns(),
            _ => None,
        };
        took_ns.is_some_and(|took_ns| (0..self.below_ns).contains(&took_ns))
    }
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
    /// From where the headline counts to the first event with content.
    FirstToken,
    /// The same to the first that was not reasoning alone, of answers that had any reasoning.
    FirstSaid,
    /// From the first event with content to the last one, a token.
    TimePerToken,
    /// The longest time between two events with content.
    LongestGap,
    /// From the last event with content to the end.
    Tail,
    /// Tokens of each answer.
    Tokens,
    /// Of an open loop, the time to the first event without the generator's lag, as punctual is to the response.
    PunctualFirstEvent,
    /// The same of the first event with content.
    PunctualFirstToken,
}

/// How many samples a step name has.
pub const SAMPLES: usize = Of::PunctualFirstToken as usize + 1;
/// The first of [`Of`] are the latencies that are summed up by batch.
pub const LATENCIES: usize = Of::GeneratorLag as usize + 1;

impl Question {
    pub(super) fn names(&self) -> usize {
        self.places.iter().max().map_or(0, |last| last + 1)
    }

    /// The limits of the step name at a place.
    fn limits_of(&self, place: usize) -> &[Limit] {
        self.limits.get(place).map_or(&[], Vec::as_slice)
    }

    /// Whether requests of the step name at a place have limits to keep.
    pub(super) fn has_limits(&self, place: usize) -> bool {
        !self.limits_of(place).is_empty()
    }

    /// Whether a success of the step name at a place kept all of them.
    pub(super) fn is_within(&self, place: usize, row: &Row) -> bool {
        self.limits_of(place).iter().all(|limit| limit.is_kept(row))
    }

    pub(super) fn is_in_pause(&self, row: &Row) -> bool {
        row.sent_ns < self.pause.end_ns && row.end_ns > self.pause.start_ns
    }

    pub(super) fn stage(&self, time_ns: i64) -> Option<usize> {
        let after = self.stages.partition_point(|stage| stage.start_ns <= time_ns);
        after
            .checked_sub(1)
            .filter(|stage| self.stages[*stage].contains(time_ns))
    }

    /// Give each value that a record adds to a sample, with the sample's number.
    pub(super) fn each_value(&self, row: &Row, put: &mut impl FnMut(usize, i64)) {
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
                    if !row.is_closed {
                        put_of(Of::PunctualFirstEvent, row.first_event_ns - begun_ns(row) - lag);
                    }
                }
            }
            if let Some(answer) = row.answer {
                each_of_answer(begun_ns(row), row.end_ns, answer, &mut |of, value| {
                    put_of(of, value);
                });
                if !row.is_closed && answer.first_content_ns >= 0 {
                    let value = answer.first_content_ns - begun_ns(row) - lag;
                    put_of(Of::PunctualFirstToken, value);
                }
            }
        }
        if row.kind == 0 {
            if let Some(stage) = self.stage(row.scheduled_ns) {
                let first = self.names() * SAMPLES + 2 * stage;
                put(first, row.end_ns - row.scheduled_ns);
                put(first + 1, row.ready_ns - row.scheduled_ns);
            }
        }
    }
}

/// What an answer that was read adds to samples; what was not streamed came all at once.
///
/// Apart, by value and through a pointer: most records have none, and theirs should stay in registers.
#[inline(never)]
fn each_of_answer(begun_ns: i64, end_ns: i64, answer: AnswerRow, put: &mut dyn FnMut(Of, i64)) {
    if answer.first_content_ns >= 0 {
        put(Of::FirstToken, answer.first_content_ns - begun_ns);
        put(Of::Tail, end_ns - answer.last_content_ns);
        if answer.first_said_ns > answer.first_content_ns {
            put(Of::FirstSaid, answer.first_said_ns - begun_ns);
        }
    }
    if let Some(time_ns) = answer.time_per_token_ns() {
        put(Of::TimePerToken, time_ns);
    }
    if answer.longest_gap_ns >= 0 {
        put(Of::LongestGap, answer.longest_gap_ns);
    }
    if let Some(tokens) = answer.tokens() {
        put(Of::Tokens, tokens);
    }
}

/// The four latencies of a record that was sent, in the order of [`Of`] (docs/design.md, measurement rule 2).
///
/// In an open loop `ready` is when a generator that is never late could have sent, in a closed one when this one knew:
/// there all is the generator's lag but the time in which the connection was opened.
pub(crate) fn latencies(row: &Row) -> [i64; LATENCIES] {
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
pub(super) fn begun_ns(row: &Row) -> i64 {
    if row.is_closed && row.sent_ns >= 0 {
        row.sent_ns
    } else {
        row.scheduled_ns
    }
}
