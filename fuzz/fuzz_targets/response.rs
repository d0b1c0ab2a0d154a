//! A response, cut anywhere: the head and the chunked coding.
#![no_main]

#[path = "../../crates/servemark-loadgen/tests/http1/any_cut.rs"]
mod any_cut;

libfuzzer_sys::fuzz_target!(|data: &[u8]| any_cut::fuzz(data));
