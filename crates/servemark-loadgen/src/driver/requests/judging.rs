//! Whether a response is a success, what its user does next, and what is kept of one that is none.

use super::Requests;
use crate::body::Body;
use crate::error::{Failure, Kind};
use crate::example::Example;
use crate::load::Next;
use crate::plan::Until;
use crate::protocol::Exchange;
use crate::record::{Record, flags};
use crate::request::InFlight;

impl Requests<'_> {
    /// Whether a complete response is a success, and what its user does next at `now_ns`.
    pub(super) fn judge(
        &self,
        request: &InFlight,
        status: u16,
        body: Option<&Body>,
        now_ns: i64,
    ) -> (Option<Failure>, Next) {
        let step = &self.plan.steps[usize::from(request.arrival.step)];
        if let Some(failure) = unsuccessful(status, step.expect_status) {
            return (Some(failure), Next::GoOn);
        }
        let looks = step.until.is_some() || step.expect.is_some();
        let Some(body) = body.filter(|_| looks) else {
            return (None, Next::GoOn);
        };
        if let Some(failure) = self.unexpected(request, body) {
            return (Some(failure), Next::GoOn);
        }
        let Some(until) = &step.until else {
            return (None, Next::GoOn);
        };
        match is_met(until, body) {
            Ok(true) => return (None, Next::GoOn),
            Ok(false) => {}
            Err(message) => return (Some(Failure::new(Kind::Application, message)), Next::GoOn),
        }
        if now_ns - request.arrival.step_since_ns < until.limit_ns {
            let interval_ns = until.interval_ns;
            return (None, Next::Repeat { interval_ns });
        }
        let text = String::from_utf8_lossy(&until.text);
        let message = format!(
            "the body does not hold {text:?} {} times, after repeating",
            until.times
        );
        (Some(Failure::new(Kind::Application, message)), Next::GoOn)
    }

    /// That the body of a success is not what its step expects.
    fn unexpected(&self, request: &InFlight, body: &Body) -> Option<Failure> {
        let step = usize::from(request.arrival.step);
        let expect = self.expects[step].as_ref()?;
        let first = self.first_bodies[step].get(request.input as usize);
        let message = expect.check(body, first).err()?;
        Some(Failure::new(Kind::Application, message))
    }

    /// Keep an example of a failure, if it is the first of its kind.
    pub(super) fn note_example(&mut self, record: &Record, failure: Failure, body: Option<&Body>) {
        let keep_bytes = self.plan.keep_body_bytes;
        self.tally.examples.note(record, || Example {
            kind: record.kind,
            status: record.status,
            step: record.step,
            seq: record.seq,
            at_ns: record.end_ns,
            message: failure.message.into_owned(),
            body: body.map_or_else(Vec::new, |body| {
                let kept = body.kept();
                kept[..kept.len().min(keep_bytes)].to_vec()
            }),
        });
    }
}

/// What the user of a request does that failed: it goes on, at once unless no server was there. That is so where no
/// connection was opened for it, or one that gave no answer, as by a proxy with nothing behind it.
pub(super) fn after(failure: &Failure, request: &InFlight, exchange: &Exchange) -> Next {
    let was_dropped = matches!(
        failure.kind,
        Kind::Reset | Kind::ClosedEarly | Kind::Tls | Kind::Local
    );
    let was_opened_for = request.flags & flags::OPENED != 0;
    let is_unreached =
        request.connection.is_none() || (was_opened_for && was_dropped && exchange.bytes_received == 0);
    if is_unreached { Next::Unreached } else { Next::GoOn }
}

/// Why a complete response with `status` is a failure, if it is one.
fn unsuccessful(status: u16, expected: Option<u16>) -> Option<Failure> {
    let is_success = (200..=299).contains(&status);
    match expected {
        Some(expected) if status == expected => None,
        Some(expected) if is_success => {
            let message = format!("status {status}, not {expected}");
            Some(Failure::new(Kind::UnexpectedStatus, message))
        }
        _ => (!is_success).then(|| Failure::new(Kind::HttpStatus, format!("status {status}"))),
    }
}

/// Whether `body` holds the text as often as it must. Of one that is longer than what was kept of it nobody can say: then
/// why not, in words.
fn is_met(until: &Until, body: &Body) -> Result<bool, String> {
    if !body.is_whole() {
        return Err(format!(
            "the body has {} bytes, and {:?} is counted in up to {} KiB",
            body.bytes(),
            String::from_utf8_lossy(&until.text),
            body.kept().len() / 1024
        ));
    }
    let places = body.kept().windows(until.text.len());
    Ok(places.filter(|&place| place == until.text).count() == until.times)
}
