//! A rate over time, and when so many arrivals have cumulated.
//!
//! Rates are taken in whole billionths of an arrival a second, so that a decimal rate is what it says. Cumulated
//! arrivals are counted in units in which each segment holds a whole number: 2^-32 / (2 * 10^18) of an arrival.

use super::GAP_BITS;
use super::wide::Wide;
use crate::clock::NS_PER_S;
use crate::error::PlanError;

/// The highest rate that a profile may have: one arrival a nanosecond.
const HIGHEST_RATE_PER_S: f64 = 1e9;

/// A billionth of an arrival a second is one in so many nanoseconds.
const NANO_UNITS: u128 = 1_000_000_000 * NS_PER_S as u128;

/// A rate that goes straight from one value to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateSegment {
    /// At its beginning.
    pub from_per_s: f64,
    /// At its end.
    pub to_per_s: f64,
    /// How long it lasts; 0 means without end.
    pub duration_ns: i64,
}

/// Check that each rate is one, and that something arrives.
pub(super) fn validate(segments: &[RateSegment]) -> Result<(), PlanError> {
    let refuse = |message: String| Err(PlanError(message));
    let mut total_ns = 0_i64;
    for (index, segment) in segments.iter().enumerate() {
        let RateSegment {
            from_per_s,
            to_per_s,
            duration_ns,
        } = *segment;
        for rate_per_s in [from_per_s, to_per_s] {
            if !(0.0..=HIGHEST_RATE_PER_S).contains(&rate_per_s) {
                return refuse(format!(
                    "a rate must be from 0 to {HIGHEST_RATE_PER_S} a second, not {rate_per_s}"
                ));
            }
        }
        if duration_ns < 0 {
            return refuse(format!("segment {index} of a rate has a negative duration"));
        }
        let is_last = index + 1 == segments.len();
        if duration_ns == 0 && !(is_last && from_per_s.to_bits() == to_per_s.to_bits()) {
            return refuse(format!(
                "segment {index} of a rate has no end: only the last may have none, and only at one rate"
            ));
        }
        let Some(sum_ns) = total_ns.checked_add(duration_ns) else {
            return refuse("the segments of a rate last longer than 292 years".into());
        };
        total_ns = sum_ns;
    }
    match segments.last() {
        Some(last) if last.duration_ns == 0 && nano(last.to_per_s) == 0 => {
            refuse("a rate of 0 without end: nothing would arrive".into())
        }
        Some(_) if segments.iter().any(|s| nano(s.from_per_s) + nano(s.to_per_s) > 0) => Ok(()),
        _ => refuse("a rate below 0.000000001 a second: nothing would arrive".into()),
    }
}

fn nano(rate_per_s: f64) -> u64 {
    (rate_per_s * 1e9).round() as u64
}

/// Segments, and how much has cumulated before each.
#[derive(Debug)]
pub(super) struct Profile(Vec<Segment>);

/// The segment in which the last arrival was found.
#[derive(Debug, Default)]
pub(super) struct Position(usize);

#[derive(Debug)]
struct Segment {
    from: u64,
    to: u64,
    /// 1 without end, where it cancels out.
    duration_ns: u64,
    begins_ns: i64,
    /// What has cumulated before it.
    before: Wide,
    /// What cumulates in it, unless it has no end.
    within: Option<Wide>,
}

impl Profile {
    pub(super) fn new(segments: &[RateSegment]) -> Self {
        let (mut begins_ns, mut before) = (0, Wide::default());
        let prepare = |segment: &RateSegment| {
            let (from, to) = (nano(segment.from_per_s), nano(segment.to_per_s));
            let has_end = segment.duration_ns > 0;
            let duration_ns = if has_end { segment.duration_ns as u64 } else { 1 };
            let sum = u128::from(from) + u128::from(to);
            let within = has_end.then(|| Wide::product(sum << GAP_BITS, duration_ns.into()));
            let prepared = Segment {
                from,
                to,
                duration_ns,
                begins_ns,
                before,
                within,
            };
            begins_ns += segment.duration_ns;
            before = before.plus(within.unwrap_or_default());
            prepared
        };
        Self(segments.iter().map(prepare).collect())
    }

    /// When operational time has come to `operational` (in units of 2^-[`GAP_BITS`]), if it ever does.
    ///
    /// An arrival at the very end of a segment belongs to the next one, or to none.
    pub(super) fn time_ns(&self, operational: u128, position: &mut Position) -> Option<i64> {
        let cumulated = Wide::product(operational, 2 * NANO_UNITS);
        loop {
            let segment = self.0.get(position.0)?;
            let rest = cumulated.minus(segment.before);
            if segment.within.is_none_or(|within| rest < within) {
                return segment.time_ns(rest);
            }
            position.0 += 1;
        }
    }
}

impl Segment {
    /// When `rest` has cumulated in this segment; none where that is more than 292 years away.
    ///
    /// With rates a and b over d, a*t + (b - a)*t^2 / 2d has cumulated by t. A float comes within some units of its
    /// last place of the root; comparing in integers finds the nanosecond.
    fn time_ns(&self, rest: Wide) -> Option<i64> {
        let longest_ns = match self.within {
            Some(_) => self.duration_ns,
            None => i64::MAX.abs_diff(self.begins_ns),
        };
        let scaled = rest.times(self.duration_ns.into());
        let is_by = |t_ns: u64| self.cumulated_by(t_ns) <= scaled;
        if self.within.is_none() && is_by(longest_ns) {
            return None;
        }
        let estimate_ns = (self.estimate_ns(rest) as u64).min(longest_ns);
        let slack_ns = 1 + (estimate_ns >> 48);
        let mut low_ns = estimate_ns.saturating_sub(slack_ns);
        if !is_by(low_ns) {
            low_ns = 0;
        }
        let mut high_ns = estimate_ns.saturating_add(slack_ns).min(longest_ns);
        if is_by(high_ns) {
            high_ns = longest_ns;
        }
        while high_ns - low_ns > 1 {
            let middle_ns = low_ns.midpoint(high_ns);
            if is_by(middle_ns) {
                low_ns = middle_ns;
            } else {
                high_ns = middle_ns;
            }
        }
        Some(self.begins_ns + low_ns as i64)
    }

    /// What has cumulated by `t_ns`, times the duration.
    fn cumulated_by(&self, t_ns: u64) -> Wide {
        let (from, to, t_ns) = (u128::from(self.from), u128::from(self.to), u128::from(t_ns));
        let twice = 2 * u128::from(self.duration_ns) * from;
        let slope = if to >= from {
            twice + (to - from) * t_ns
        } else {
            twice - (from - to) * t_ns
        };
        Wide::product(t_ns << GAP_BITS, slope)
    }

    /// The root in floats, in the form without cancellation: a rate that falls is read backwards from its end.
    fn estimate_ns(&self, rest: Wide) -> f64 {
        let duration_ns = self.duration_ns as f64;
        if self.from <= self.to {
            return root_ns(self.from, self.to, duration_ns, rest);
        }
        let left = self.within.unwrap_or(rest).minus(rest);
        duration_ns - root_ns(self.to, self.from, duration_ns, left)
    }
}

/// When `rest` has cumulated at a rate that rises over `duration_ns`.
fn root_ns(from: u64, to: u64, duration_ns: f64, rest: Wide) -> f64 {
    let arrivals = rest.to_f64() / (2.0 * NANO_UNITS as f64) / (1_u64 << GAP_BITS) as f64;
    if arrivals <= 0.0 {
        return 0.0;
    }
    let unit = 1.0 / NANO_UNITS as f64;
    let (from, rise) = (from as f64 * unit, (to - from) as f64 * unit / duration_ns);
    2.0 * arrivals / (from + (from * from + 2.0 * rise * arrivals).sqrt())
}
