//! Examples of failures: the first of each step, kind and status.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::error::Kind;
use crate::record::Record;

/// The first failure of its step, kind and status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// How the request ended.
    pub kind: Kind,
    /// Status of the response, 0 without one.
    pub status: u16,
    /// Index of the step.
    pub step: u16,
    /// Number of the request.
    pub seq: u64,
    /// `end` of its record.
    pub at_ns: i64,
    /// What the generator saw, in words.
    pub message: String,
    /// The first bytes of the response's body, decoded from its chunks.
    pub body: Vec<u8>,
}

/// Examples by step, kind and status.
#[derive(Debug, Default)]
pub(crate) struct Examples(HashMap<(u16, Kind, u16), Example>);

impl Examples {
    /// Keep an example of `record`'s failure if it is the first of its kind.
    pub(crate) fn note(&mut self, record: &Record, example: impl FnOnce() -> Example) {
        let key = (record.step, record.kind, record.status);
        if let Entry::Vacant(vacant) = self.0.entry(key) {
            vacant.insert(example());
        }
    }

    /// Take over another thread's examples where they were earlier.
    pub(crate) fn merge(&mut self, other: Self) {
        for (key, example) in other.0 {
            match self.0.entry(key) {
                Entry::Occupied(mut known) if example.at_ns < known.get().at_ns => {
                    known.insert(example);
                }
                Entry::Occupied(_) => {}
                Entry::Vacant(vacant) => {
                    vacant.insert(example);
                }
            }
        }
    }

    /// The examples, the earliest first.
    pub(crate) fn into_sorted(self) -> Vec<Example> {
        let mut examples: Vec<Example> = self.0.into_values().collect();
        examples.sort_by_key(|example| (example.at_ns, example.seq));
        examples
    }
}
