//! What the records of one step name add up to.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use super::question::{LATENCIES, Question, begun_ns, latencies};
use crate::answers::flags;
use crate::table::{AnswerRow, Row};

/// What one step name adds up to.
#[derive(Clone, Debug)]
pub struct Step {
    /// Of its name among the names.
    place: usize,
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
    /// By batch: those of them that kept all limits of the step; `None` where it has none.
    pub batch_within: Option<Vec<u64>>,
    /// By batch: the events of streams among the completed.
    pub batch_events: Vec<u64>,
    /// By batch: streams that had an event, of the measured ones.
    pub batch_first: Vec<u64>,
    /// By batch: the sums of the times to it.
    pub batch_first_sums: Vec<i128>,
    /// Of answers that were read.
    pub answers: Answers,
    /// By batch: tokens of the successes that ended in the window.
    pub batch_tokens: Vec<u64>,
    /// By batch: the sums of the times to the first event with content, of the measured ones that had one.
    pub batch_first_token_sums: Vec<i128>,
    /// By batch: how many these are.
    pub batch_first_token: Vec<u64>,
}

/// What the answers that were read add up to, of the measured successes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// How many were read.
    pub count: u64,
    /// Those that were streams with content.
    pub streamed: u64,
    /// Events with content in these.
    pub contents: u64,
    /// Tokens by the server, in those whose tokens it counted, and how many these are.
    pub usage: (u64, u64),
    /// Tokens that somebody else counted in the text, likewise.
    pub counted: (u64, u64),
    /// Tokens by the server and by the other, in those where both counted.
    pub both: (u64, u64),
    /// Tokens and events with content of streams of which both are known.
    pub tokens_of_contents: (u64, u64),
    /// Those of which it is known how many tokens the first event with content had.
    pub first_told: u64,
    /// By why they ended; see [`crate::answers::FINISH_NAMES`].
    pub finishes: [u64; 6],
    /// Of how many it is known how many tokens were asked for, and how many came.
    pub asked: u64,
    /// Those of them that had fewer, by why they ended.
    pub short: [u64; 6],
    /// Streams without the mark behind the last event.
    pub unmarked: u64,
    /// Those that had something in them that was not understood.
    pub unread: u64,
    /// Those that were longer than what is kept of one.
    pub cut: u64,
    /// Those without any content.
    pub empty: u64,
    /// Those that came whole, where their requests asked for streams.
    pub whole: u64,
    /// Those whose usage said that they had no token, which they had.
    pub uncounted: u64,
}

impl Answers {
    #[inline(never)]
    fn look(&mut self, is_streamed: bool, answer: AnswerRow) {
        let has = |bit: u8| u64::from(answer.flags & bit != 0);
        self.count += 1;
        let (usage, counted) = (
            u64::try_from(answer.usage_tokens),
            u64::try_from(answer.counted_tokens),
        );
        let add = |sums: &mut (u64, u64), tokens: u64| *sums = (sums.0 + tokens, sums.1 + 1);
        if let Ok(tokens) = usage {
            add(&mut self.usage, tokens);
        }
        if let Ok(tokens) = counted {
            add(&mut self.counted, tokens);
        }
        if let (Ok(one), Ok(other)) = (usage, counted) {
            self.both = (self.both.0 + one, self.both.1 + other);
        }
        if answer.first_content_ns >= 0 {
            self.streamed += 1;
            self.contents += u64::from(answer.contents);
            self.first_told += u64::from(answer.first_tokens > 0);
            if let Ok(tokens) = usage.or(counted) {
                let (tokens_before, contents) = self.tokens_of_contents;
                self.tokens_of_contents = (tokens_before + tokens, contents + u64::from(answer.contents));
            }
        }
        let finish = usize::from(answer.finish).min(self.finishes.len() - 1);
        self.finishes[finish] += 1;
        if let Some(is_short) = answer.is_short() {
            self.asked += 1;
            self.short[finish] += u64::from(is_short);
        }
        self.unmarked += u64::from(is_streamed) * (1 - has(flags::END_MARK));
        self.unread += has(flags::UNREAD);
        self.cut += has(flags::CUT);
        self.empty += u64::from(answer.contents == 0);
        self.whole += has(flags::NO_STREAM);
        self.uncounted += has(flags::NO_USAGE);
    }

    fn merge(&mut self, other: &Self) {
        let add = |own: &mut (u64, u64), others: (u64, u64)| *own = (own.0 + others.0, own.1 + others.1);
        self.count += other.count;
        self.streamed += other.streamed;
        self.contents += other.contents;
        add(&mut self.usage, other.usage);
        add(&mut self.counted, other.counted);
        add(&mut self.both, other.both);
        add(&mut self.tokens_of_contents, other.tokens_of_contents);
        self.first_told += other.first_told;
        add_all(&mut self.finishes, &other.finishes);
        self.asked += other.asked;
        add_all(&mut self.short, &other.short);
        self.unmarked += other.unmarked;
        self.unread += other.unread;
        self.cut += other.cut;
        self.empty += other.empty;
        self.whole += other.whole;
        self.uncounted += other.uncounted;
    }
}

impl Step {
    /// Of the step name at a place, before anything was looked at.
    pub(super) fn new(question: &Question, place: usize) -> Self {
        let batches = question.batches;
        Self {
            place,
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
            batch_within: question.has_limits(place).then(|| vec![0; batches]),
            batch_events: vec![0; batches],
            batch_first: vec![0; batches],
            batch_first_sums: vec![0; batches],
            answers: Answers::default(),
            batch_tokens: vec![0; batches],
            batch_first_token_sums: vec![0; batches],
            batch_first_token: vec![0; batches],
        }
    }

    pub(super) fn look(&mut self, question: &Question, row: &Row) {
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
            if let Some(within) = &mut self.batch_within {
                within[batch] += u64::from(question.is_within(self.place, row));
            }
            self.bytes_of_completed += u64::from(row.bytes_received);
            if row.is_streamed {
                self.completed_streams += 1;
                self.batch_events[batch] += u64::from(row.events);
            }
            let tokens = row.answer.and_then(|answer| answer.tokens());
            self.batch_tokens[batch] += tokens.map_or(0, i64::unsigned_abs);
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
            if let Some(answer) = row.answer {
                self.answers.look(row.is_streamed, answer);
                if answer.first_content_ns >= 0 {
                    self.batch_first_token[batch] += 1;
                    self.batch_first_token_sums[batch] += i128::from(answer.first_content_ns - begun_ns(row));
                }
            }
            self.clock_read += u64::from(row.is_clock_read);
            self.unsure_sent += u64::from(row.is_unsure_sent);
            self.paused += u64::from(question.is_in_pause(row));
            self.receive_lag_ns += i128::from(row.read_ns - row.end_ns);
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
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
        if let (Some(own), Some(others)) = (&mut self.batch_within, &other.batch_within) {
            add_all(own, others);
        }
        add_all(&mut self.batch_events, &other.batch_events);
        add_all(&mut self.batch_first, &other.batch_first);
        add_all(&mut self.batch_first_sums, &other.batch_first_sums);
        self.answers.merge(&other.answers);
        add_all(&mut self.batch_tokens, &other.batch_tokens);
        add_all(&mut self.batch_first_token_sums, &other.batch_first_token_sums);
        add_all(&mut self.batch_first_token, &other.batch_first_token);
    }
}

fn add_all<Number: AddAssign + Copy>(own: &mut [Number], others: &[Number]) {
    own.iter_mut()
        .zip(others)
        .for_each(|(own, others)| *own += *others);
}
