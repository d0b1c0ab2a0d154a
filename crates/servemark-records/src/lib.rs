//! Passes over record files: what millions of records add up to, exactly, in little memory.
//!
//! It counts, and judges nothing: which statistic is made of the counts, and what of it is believed, is decided in Python
//! (`servemark.stats`). A [`Tally`](tally::Tally) comes of one pass; its order statistics may take further ones, which
//! look only at what the first has left open ([`sample`]). What needs records in the order of time, not in that of the
//! file, sweeps it backwards ([`in_flight`]). What is drawn is a pass of its own ([`timeline`]), and so is
//! reading what a server said ([`answers`]), which gives records more columns.
//!
//! May be changed here: how the passes go. Not: what a column means, which is `servemark_loadgen::record`.

pub mod answers;
pub mod arrivals;
pub mod in_flight;
pub mod sample;
pub mod table;
pub mod tally;
pub mod timeline;
