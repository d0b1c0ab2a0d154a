//! The seat of protocols: state machines without a socket, as in rustls, h11 and quinn-proto.
//!
//! The driver moves bytes and keeps time; a protocol turns requests into bytes to write, and bytes read into events that
//! name the request. One connection has one protocol value. Requests that are in flight at the same time on one
//! connection (HTTP/2 will have them) are told apart by their [`RequestId`].

use std::fmt;

use crate::body::{Body, Watch};
use crate::error::Failure;
use crate::plan::Request;
use crate::request::{Numbers, RequestId};

/// What a protocol reports to the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A head begins. It may come again: after an interim response (100, 103), the last one counts.
    FirstByte(RequestId),
    /// The bytes that were received together had some of a body that is handed on: [`Body::part`] has them.
    BodyPart(RequestId),
    /// So many server-sent events came, all in the bytes that were received together.
    ServerEvents(RequestId, u32),
    /// The response is complete.
    Ended(RequestId, Exchange),
    /// The request failed.
    Failed(RequestId, Exchange, Failure),
    /// The connection must carry no further request and be closed now: every request on it has ended or failed.
    MustClose,
}

/// What went over the wire for one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// Status of the final response; 0 when none was read.
    pub status: u16,
    /// The response is a stream of server-sent events.
    pub is_stream: bool,
    /// Bytes of the request that were handed to the transport.
    pub bytes_sent: u64,
    /// They were all of it.
    pub is_sent_whole: bool,
    /// Bytes of the response: interim and final head, chunk framing and body.
    pub bytes_received: u64,
}

/// A protocol's state machine for one connection.
///
/// Bytes come in through [`receive`](Self::receive) however the network cut them; the events must not depend on the cuts.
///
/// After each call that changes it, whichever it was, the driver does what the events ask, gives the slots that there are
/// to requests, and writes what there is to write.
pub trait Protocol<'plan> {
    /// A request of the plan as this protocol writes it.
    type Prepared: fmt::Debug + 'plan;

    /// Make a request ready to be written as often as it is sent; once, before the run.
    fn prepare(request: &Request) -> Self::Prepared;

    /// The state of a fresh connection.
    fn new() -> Self;

    /// How many requests could be started now: 0 when busy, and when the connection can no longer be trusted.
    ///
    /// A slot may come back later than its request ends, or without one, and may be taken away.
    fn slots(&self) -> usize;

    /// Start a request, of whose response's body `watch` is looked at. The caller has checked that there is a slot.
    fn start(&mut self, id: RequestId, request: &'plan Self::Prepared, numbers: Numbers, watch: Watch);

    /// Bytes to write, in order; empty when there are none. There may be some without a request: a greeting, or an answer
    /// to what was received.
    fn output(&self) -> &[u8];

    /// The first `count` bytes of `output` were handed to the transport.
    fn written(&mut self, count: usize);

    /// Bytes came from the server.
    fn receive(&mut self, bytes: &[u8], events: &mut Vec<Event>);

    /// The server will send no more.
    fn eof(&mut self, events: &mut Vec<Event>);

    /// Nothing more will come, and the server has not said that this is its end: what is known to be whole is, and
    /// what only such an end would tell is not.
    fn cut_off(&mut self, events: &mut Vec<Event>);

    /// The connection broke: every request on it fails.
    fn broken(&mut self, failure: &Failure, events: &mut Vec<Event>);

    /// Give up one request: its deadline passed, or the run was stopped. Others on the connection may fail with it.
    fn cancel(&mut self, id: RequestId, failure: Failure, events: &mut Vec<Event>);

    /// What is known of the body that answers a request, decoded; of one that has ended, until the next `start`.
    fn body(&self, id: RequestId) -> &Body;
}
