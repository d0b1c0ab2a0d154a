//! What goes with a run and is no part of its load: what is tried and measured before it, and CPUs that are kept awake
//! meanwhile. No request passes through here.

pub mod handshake;
pub mod keep_awake;
pub mod responder;
pub mod wake_up;
