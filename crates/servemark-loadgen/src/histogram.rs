//! Histograms of times, three digits wide: of the times between the events of streamed responses, one for each step.
//!
//! Each generator thread fills its own and they are added at the end: percentiles are never averaged. Kept as V2-deflate
//! bytes, which every implementation of HDR histograms reads.

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

const DIGITS: u8 = 3;

/// The times between events, by step. One histogram is made when a step's first pair of events has come, none later.
#[derive(Clone, Debug, Default)]
pub struct EventGaps {
    longest_ns: u64,
    steps: Vec<Option<Histogram<u64>>>,
}

impl EventGaps {
    /// No time yet, of any of `steps` steps. What is longer than `longest_ns` counts as that.
    #[must_use]
    pub fn new(steps: usize, longest_ns: i64) -> Self {
        Self {
            longest_ns: longest_ns.max(2).unsigned_abs(),
            steps: vec![None; steps],
        }
    }

    /// Events of `step` came `gap_ns` after the one before them, so many `times`.
    pub fn note(&mut self, step: u16, gap_ns: i64, times: u32) {
        let histogram = self.steps[usize::from(step)].get_or_insert_with(|| empty(self.longest_ns));
        histogram.saturating_record_n(gap_ns.max(0).unsigned_abs(), u64::from(times));
    }

    /// Add those of another thread.
    pub(crate) fn merge(&mut self, other: Self) {
        if self.steps.is_empty() {
            *self = other;
            return;
        }
        for (own, others) in self.steps.iter_mut().zip(other.steps) {
            match (own, others) {
                (Some(own), Some(others)) => *own += others,
                (own @ None, others) => *own = others,
                (Some(_), None) => {}
            }
        }
    }

    /// The steps of which there are times, each with the V2-deflate bytes of its histogram of nanoseconds.
    #[must_use]
    pub fn into_bytes(self) -> Vec<(u16, Vec<u8>)> {
        let steps = (0_u16..).zip(&self.steps);
        steps
            .filter_map(|(step, histogram)| histogram.as_ref().map(|known| (step, to_bytes(known))))
            .collect()
    }
}

/// What several histograms show together.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// How many values there are.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// The largest.
    pub max: u64,
    /// The values at the quantiles that were asked for.
    pub quantiles: Vec<u64>,
}

/// The statistics of the sum of `histograms`, which are V2-deflate bytes. Says what is wrong with them, if something is.
pub fn statistics(histograms: &[&[u8]], quantiles: &[f64]) -> Result<Statistics, String> {
    let mut sum = empty(2);
    sum.auto(true);
    for bytes in histograms {
        let one: Histogram<u64> = Deserializer::new()
            .deserialize(&mut &**bytes)
            .map_err(|error| format!("not a histogram: {error}"))?;
        sum.add(one).map_err(|error| error.to_string())?;
    }
    Ok(Statistics {
        count: sum.len(),
        mean: sum.mean(),
        max: sum.max(),
        quantiles: quantiles.iter().map(|&q| sum.value_at_quantile(q)).collect(),
    })
}

fn to_bytes(histogram: &Histogram<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new()
        .serialize(histogram, &mut bytes)
        .expect("a vector takes all that is written to it");
    bytes
}

fn empty(longest: u64) -> Histogram<u64> {
    Histogram::new_with_max(longest, DIGITS).expect("the largest value is at least 2, the digits at most 5")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST_NS: i64 = 120_000_000_000;

    fn of(values: impl IntoIterator<Item = i64>) -> EventGaps {
        let mut gaps = EventGaps::new(3, LONGEST_NS);
        values.into_iter().for_each(|value| gaps.note(1, value, 1));
        gaps
    }

    #[test]
    fn threads_add_up_to_what_one_would_have_counted() {
        let mut total = EventGaps::default();
        total.merge(of((1..=1000).map(|n| n * 1000)));
        total.merge(of((1001..=2000).map(|n| n * 1000)));
        total.merge(EventGaps::new(3, LONGEST_NS));
        let bytes = total.into_bytes();
        assert_eq!(bytes, of((1..=2000).map(|n| n * 1000)).into_bytes());
        assert_eq!(bytes.len(), 1);
        assert_eq!(bytes[0].0, 1);
    }

    #[test]
    fn statistics_are_right_to_three_digits() {
        let bytes = of((1..=2000).map(|n| n * 1000)).into_bytes();
        let more = of([0, 0, LONGEST_NS]).into_bytes();
        let found = statistics(&[&bytes[0].1, &more[0].1], &[0.0, 0.5, 0.99, 1.0]).unwrap();
        assert_eq!(found.count, 2003);
        assert_eq!(found.quantiles[0], 0);
        for (value, expected) in found.quantiles[1..].iter().zip([1e6, 1.98e6, 120e9]) {
            assert!(
                (*value as f64 / expected - 1.0).abs() < 0.002,
                "{value} for {expected}"
            );
        }
        assert_eq!(found.max, found.quantiles[3]);
        let mean = (1_000_500.0 * 2000.0 + 120e9) / 2003.0;
        assert!((found.mean / mean - 1.0).abs() < 0.001);
    }

    #[test]
    fn what_is_longer_than_the_longest_counts_as_that() {
        let mut gaps = EventGaps::new(1, 1_000_000);
        gaps.note(0, i64::MAX, 7);
        gaps.note(0, -5, 1);
        let found = statistics(&[&gaps.into_bytes()[0].1], &[0.1, 0.5]).unwrap();
        assert_eq!((found.count, found.quantiles[0]), (8, 0));
        assert!((1_000_000..2_200_000).contains(&found.max), "{}", found.max);
    }

    #[test]
    fn what_is_no_histogram_is_refused() {
        assert!(
            statistics(&[b"HISTF"], &[])
                .unwrap_err()
                .starts_with("not a histogram: ")
        );
        assert_eq!(statistics(&[], &[]).unwrap().count, 0);
    }
}
