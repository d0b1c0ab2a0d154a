//! What one thread adds up of a run's records, and how the parts of several are joined.

use super::question::{Question, SAMPLES};
use super::span::Span;
use super::step::Step;
use super::{Begun, Stage, UnderWay};
use crate::sample::Sample;
use crate::table::{Block, Row};

/// A closed loop of more users than this is not one of servemark's.
const MOST_USERS: usize = 1 << 24;

/// What one thread has gathered.
pub(super) struct Part {
    pub(super) steps: Vec<Step>,
    pub(super) samples: Vec<Sample>,
    pub(super) stages: Vec<Stage>,
    pub(super) begun: Begun,
    pub(super) under_way: UnderWay,
    /// First and last time, by user.
    pub(super) users: Vec<Option<Span>>,
    pub(super) ends: Vec<(Block, i64)>,
    pub(super) fault: Option<String>,
}

impl Part {
    pub(super) fn new(question: &Question) -> Self {
        let names = question.names();
        Self {
            steps: (0..names).map(|place| Step::new(question, place)).collect(),
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

    pub(super) fn look(&mut self, question: &Question, block: Block, row: &Row) {
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

    pub(super) fn look_at_arrival(&mut self, question: &Question, row: &Row) {
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
        if row.kind == 0 && question.ends.get(step).copied().unwrap_or(false) {
            if let Some(stage) = question.stage(row.end_ns) {
                self.stages[stage].ended += 1;
            }
        }
    }

    pub(super) fn look_at_time_under_way(&mut self, accounted: Span, row: &Row) {
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

    pub(super) fn look_at_user(&mut self, row: &Row) {
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

    pub(super) fn merge(&mut self, other: Self) {
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

pub(super) fn note_end(ends: &mut Vec<(Block, i64)>, block: Block, row: &Row) {
    if ends.last().is_none_or(|(last, _)| *last != block) {
        ends.push((block, i64::MIN));
    }
    if row.sent_ns >= 0 {
        if let Some((_, latest_ns)) = ends.last_mut() {
            *latest_ns = row.end_ns.max(*latest_ns);
        }
    }
}
