//! A connection: requests, bytes, ends and cancellations in any order.
#![no_main]

#[path = "../../crates/servemark-loadgen/tests/http1/any_order.rs"]
mod any_order;

libfuzzer_sys::fuzz_target!(|data: &[u8]| any_order::fuzz(data));
