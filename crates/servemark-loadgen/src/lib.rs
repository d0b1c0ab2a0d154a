//! servemark's load generator: a plan in, one record a request out.
//!
//! [`Run::start`] takes a [`plan::Plan`] and runs it on threads of its own. Each generator thread owns one driver: the
//! one work loop, for every load ([`load::Load`] says what is due) and every protocol ([`protocol::Protocol`] turns
//! requests into bytes and bytes into events). What happened to a request becomes a [`record::Record`], written to a
//! file by another thread. What goes with a run and sends nothing of it stands [`beside`] it. Nothing here knows of Python.

pub mod arrival;
pub mod beside;
pub mod body;
pub mod body_part;
pub mod clock;
mod control;
mod deadline;
mod draw;
mod driver;
mod due;
pub mod error;
mod event_row;
pub mod example;
pub mod expect;
pub mod fault;
pub mod histogram;
pub mod http1;
mod kernel;
mod load;
pub mod plan;
pub mod poller;
mod pool;
pub mod protocol;
pub mod realtime;
pub mod receive_clock;
pub mod record;
mod recorder;
pub mod request;
pub mod run;
pub mod share;
mod source;
pub mod sse;
mod start;
mod table;
pub mod tls;
mod transport;
mod writer;

pub use run::{Outcome, Progress, Run};
