//! Samples: exact sums and exact order statistics of any number of values, in little memory.
//!
//! A small sample keeps its values. A large one counts them in bins that are exact below 1024 and else at most a 512th
//! wide; an order statistic then takes another pass, which looks only at the bins that hold one ([`Search`]): it keeps
//! their values if they are few, or counts them in finer bins, and so on. More bins would need fewer passes for values
//! that are all alike, and more memory than stays near a processor: counting is what takes the time.

use std::collections::BTreeMap;

/// So many values are kept as they are.
const MOST_KEPT: usize = 1 << 16;
const BIN_BITS: u32 = 10;
const BINS: usize = 1 << BIN_BITS;

type Page = Box<[u64; BINS]>;

/// What is known of a number of values after one pass.
#[derive(Clone, Debug)]
pub struct Sample {
    /// How many there are.
    pub count: u64,
    /// Their sum, and that of their squares.
    pub sum: i128,
    /// The sum of their squares.
    pub squares: i128,
    /// The least of them; meaningless of none, as is `max`.
    pub min: i64,
    /// The greatest of them.
    pub max: i64,
    kept: Kept,
}

#[derive(Clone, Debug)]
enum Kept {
    Values(Vec<i64>),
    Counts(Counts),
}

/// How often there are values, by bin.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    negative: Pages,
    rest: Pages,
}

/// Counts of magnitudes, in pages of one width of bins each.
#[derive(Clone, Debug, Default)]
struct Pages(Vec<Option<Page>>);

/// Values of one sign that fall into one bin. Magnitudes are those of `v` or, of a negative one, of `-1 - v`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bin {
    is_negative: bool,
    low: u64,
    /// Its width is 2 to this power.
    shift: u32,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            count: 0,
            sum: 0,
            squares: 0,
            min: i64::MAX,
            max: i64::MIN,
            kept: Kept::Values(Vec::new()),
        }
    }
}

fn magnitude(value: i64) -> (bool, u64) {
    if value < 0 {
        (true, (-1 - value) as u64)
    } else {
        (false, value as u64)
    }
}

fn value_of(is_negative: bool, magnitude: u64) -> i64 {
    if is_negative {
        -1 - magnitude as i64
    } else {
        magnitude as i64
    }
}

impl Counts {
    fn of(values: &[i64]) -> Self {
        let mut counts = Self::default();
        for value in values {
            counts.add(*value);
        }
        counts
    }

    pub(crate) fn add(&mut self, value: i64) {
        let (is_negative, magnitude) = magnitude(value);
        if is_negative {
            &mut self.negative
        } else {
            &mut self.rest
        }
        .add(magnitude);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.negative.merge(other.negative);
        self.rest.merge(other.rest);
    }

    /// The middles of the bins that hold something, and how many, from the smallest value.
    ///
    /// No value is further from the middle of its bin than a thousandth of it; below 1024 it is the middle.
    pub(crate) fn middles(&self) -> Vec<(i64, u64)> {
        let middle = |bin: Bin| value_of(bin.is_negative, bin.low + ((1_u64 << bin.shift) >> 1));
        self.bins()
            .into_iter()
            .map(|(bin, count)| (middle(bin), count))
            .collect()
    }

    /// The bins that hold something, with how many, from the smallest value.
    fn bins(&self) -> Vec<(Bin, u64)> {
        let below = self.negative.filled().into_iter().rev().map(|bin| (true, bin));
        let above = self.rest.filled().into_iter().map(|bin| (false, bin));
        below
            .chain(above)
            .map(|(is_negative, (low, shift, count))| {
                (
                    Bin {
                        is_negative,
                        low,
                        shift,
                    },
                    count,
                )
            })
            .collect()
    }
}

impl Pages {
    fn add(&mut self, magnitude: u64) {
        let shift = (u64::BITS - magnitude.leading_zeros()).saturating_sub(BIN_BITS) as usize;
        if self.0.len() <= shift {
            self.0.resize(shift + 1, None);
        }
        let page = self.0[shift].get_or_insert_with(|| Box::new([0; BINS]));
        page[(magnitude >> shift) as usize] += 1;
    }

    fn merge(&mut self, other: Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), None);
        }
        for (own, others) in self.0.iter_mut().zip(other.0) {
            match (own.as_mut(), others) {
                (Some(own), Some(others)) => own
                    .iter_mut()
                    .zip(*others)
                    .for_each(|(own, others)| *own += others),
                (None, others) => *own = others,
                (Some(_), None) => {}
            }
        }
    }

    /// The bins that hold something, with how many, from the smallest magnitude.
    fn filled(&self) -> Vec<(u64, u32, u64)> {
        let pages = self
            .0
            .iter()
            .enumerate()
            .filter_map(|(shift, page)| Some((shift, page.as_deref()?)));
        pages
            .flat_map(|(shift, page)| {
                let counts = page.iter().enumerate().filter(|(_, count)| **count > 0);
                counts.map(move |(bin, count)| ((bin as u64) << shift, shift as u32, *count))
            })
            .collect()
    }
}

impl Sample {
    /// One value more.
    pub fn add(&mut self, value: i64) {
        self.count += 1;
        self.sum += i128::from(value);
        self.squares = self.squares.saturating_add(i128::from(value) * i128::from(value));
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        match &mut self.kept {
            Kept::Values(values) => {
                values.push(value);
                self.count_if_many();
            }
            Kept::Counts(counts) => counts.add(value),
        }
    }

    /// The values of `other` too.
    pub fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.squares = self.squares.saturating_add(other.squares);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        match (&mut self.kept, other.kept) {
            (Kept::Values(own), Kept::Values(mut others)) => {
                own.append(&mut others);
                self.count_if_many();
            }
            (Kept::Values(own), Kept::Counts(mut counts)) => {
                counts.merge(Counts::of(own));
                self.kept = Kept::Counts(counts);
            }
            (Kept::Counts(own), Kept::Values(others)) => own.merge(Counts::of(&others)),
            (Kept::Counts(own), Kept::Counts(others)) => own.merge(others),
        }
    }

    /// The middles of the bins that hold something, and how many, from the smallest value.
    pub(crate) fn middles(&self) -> Vec<(i64, u64)> {
        match &self.kept {
            Kept::Values(values) => Counts::of(values).middles(),
            Kept::Counts(counts) => counts.middles(),
        }
    }

    fn count_if_many(&mut self) {
        if let Kept::Values(values) = &self.kept {
            if values.len() > MOST_KEPT {
                self.kept = Kept::Counts(Counts::of(values));
            }
        }
    }
}

/// The search for order statistics of one sample, from its first pass to as many more as it takes.
#[derive(Debug)]
pub struct Search {
    /// By rank, from 0.
    found: BTreeMap<u64, i64>,
    /// Bins in which some are, in the order of their values.
    open: Vec<Open>,
    /// The smallest value that each of them can hold.
    first_values: Vec<i64>,
}

/// A bin that holds order statistics which are wanted, and how many values are below it.
#[derive(Clone, Debug)]
struct Open {
    bin: Bin,
    below: u64,
    count: u64,
    ranks: Vec<u64>,
}

/// What a pass has seen of the bins that are open, in their order.
#[derive(Clone, Debug)]
pub struct Seen(Vec<SeenInBin>);

#[derive(Clone, Debug)]
enum SeenInBin {
    Values(Vec<i64>),
    Counts(Page),
}

impl Search {
    /// Begin to search the values that have `ranks`, from 0, in `sample`. Ranks beyond it are left out.
    #[must_use]
    pub fn new(sample: &Sample, ranks: &[u64]) -> Self {
        let mut ranks: Vec<u64> = ranks
            .iter()
            .copied()
            .filter(|rank| *rank < sample.count)
            .collect();
        ranks.sort_unstable();
        ranks.dedup();
        let mut search = Self {
            found: BTreeMap::new(),
            open: Vec::new(),
            first_values: Vec::new(),
        };
        match &sample.kept {
            Kept::Values(values) => search.take_values(values.clone(), 0, &ranks),
            Kept::Counts(counts) => search.take_bins(&counts.bins(), 0, &ranks),
        }
        search.first_values = search.open.iter().map(|open| open.bin.first_value()).collect();
        search
    }

    /// Whether all are found.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.open.is_empty()
    }

    /// The value of a rank that was searched.
    #[must_use]
    pub fn value(&self, rank: u64) -> Option<i64> {
        self.found.get(&rank).copied()
    }

    /// What the next pass has to fill with all values of the sample.
    #[must_use]
    pub fn seen(&self) -> Seen {
        let seen = self.open.iter().map(|open| {
            if open.count <= MOST_KEPT as u64 {
                SeenInBin::Values(Vec::new())
            } else {
                SeenInBin::Counts(Box::new([0; BINS]))
            }
        });
        Seen(seen.collect())
    }

    /// Look at a value that passes by.
    pub fn look(&self, seen: &mut Seen, value: i64) {
        let after = self.first_values.partition_point(|first| *first <= value);
        let Some(place) = after.checked_sub(1) else {
            return;
        };
        let bin = self.open[place].bin;
        let (is_negative, magnitude) = magnitude(value);
        if bin.is_negative != is_negative || (magnitude >> bin.shift) != (bin.low >> bin.shift) {
            return;
        }
        match &mut seen.0[place] {
            SeenInBin::Values(values) => values.push(value),
            SeenInBin::Counts(page) => page[((magnitude - bin.low) >> bin.finer()) as usize] += 1,
        }
    }

    /// Take what a pass has seen, in parts.
    pub fn take(&mut self, parts: impl IntoIterator<Item = Seen>) {
        let mut all: Vec<SeenInBin> = self.seen().0;
        for part in parts {
            for (own, others) in all.iter_mut().zip(part.0) {
                match (own, others) {
                    (SeenInBin::Values(own), SeenInBin::Values(mut others)) => own.append(&mut others),
                    (SeenInBin::Counts(own), SeenInBin::Counts(others)) => {
                        own.iter_mut()
                            .zip(*others)
                            .for_each(|(own, others)| *own += others);
                    }
                    _ => unreachable!("all parts are of the same bins"),
                }
            }
        }
        for (open, seen) in std::mem::take(&mut self.open).into_iter().zip(all) {
            match seen {
                SeenInBin::Values(values) => self.take_values(values, open.below, &open.ranks),
                SeenInBin::Counts(page) => self.take_bins(&open.bin.divided(&page), open.below, &open.ranks),
            }
        }
        self.first_values = self.open.iter().map(|open| open.bin.first_value()).collect();
    }

    /// `values` are those above `below` others that `ranks` are among.
    fn take_values(&mut self, mut values: Vec<i64>, below: u64, ranks: &[u64]) {
        values.sort_unstable();
        for rank in ranks {
            if let Some(value) = values.get((rank - below) as usize) {
                self.found.insert(*rank, *value);
            }
        }
    }

    fn take_bins(&mut self, bins: &[(Bin, u64)], mut below: u64, ranks: &[u64]) {
        let mut ranks = ranks;
        for (bin, count) in bins {
            let inside = ranks.partition_point(|rank| *rank < below + count);
            let (own, rest) = ranks.split_at(inside);
            if bin.shift == 0 {
                let value = value_of(bin.is_negative, bin.low);
                self.found.extend(own.iter().map(|rank| (*rank, value)));
            } else if !own.is_empty() {
                self.open.push(Open {
                    bin: *bin,
                    below,
                    count: *count,
                    ranks: own.to_vec(),
                });
            }
            below += count;
            ranks = rest;
        }
    }
}

impl Bin {
    /// The smallest value that it can hold.
    fn first_value(self) -> i64 {
        let widest = if self.is_negative {
            (1 << self.shift) - 1
        } else {
            0
        };
        value_of(self.is_negative, self.low + widest)
    }

    /// The power of two that is the width of its parts.
    fn finer(self) -> u32 {
        self.shift.saturating_sub(BIN_BITS)
    }

    /// Its parts that hold something, from the smallest value, by what a page counted of them.
    fn divided(self, page: &[u64; BINS]) -> Vec<(Self, u64)> {
        let parts = page.iter().enumerate().filter(|(_, count)| **count > 0);
        let mut parts: Vec<(Self, u64)> = parts
            .map(|(part, count)| {
                let low = self.low + ((part as u64) << self.finer());
                let shift = self.finer();
                (Self { low, shift, ..self }, *count)
            })
            .collect();
        if self.is_negative {
            parts.reverse();
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sequence that repeats by its seed: no two tests need the same numbers, and none needs good ones.
    fn numbers(seed: u64) -> impl Iterator<Item = u64> {
        let mut state = seed;
        std::iter::repeat_with(move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 11
        })
    }

    /// All ranks that a caller could want, searched as a tally does: `parts` threads, passes until nothing is open.
    fn check(values: &[i64], parts: usize, most_passes: usize) {
        let mut sample = Sample::default();
        for share in values.chunks(values.len().div_ceil(parts).max(1)) {
            let mut part = Sample::default();
            for value in share {
                part.add(*value);
            }
            sample.merge(part);
        }
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        let n = values.len() as u64;
        assert_eq!(sample.count, n);
        assert_eq!(
            sample.sum,
            values.iter().map(|value| i128::from(*value)).sum::<i128>()
        );
        assert_eq!(
            sample.squares,
            values.iter().map(|value| i128::from(*value).pow(2)).sum::<i128>()
        );
        assert_eq!((sample.min, sample.max), (sorted[0], sorted[values.len() - 1]));
        let ranks = [0, 1, n / 2, n / 2, n * 9 / 10, n * 99 / 100, n - 1, n];
        let mut search = Search::new(&sample, &ranks);
        let mut passes = 1;
        while !search.is_done() {
            passes += 1;
            let seen = values.chunks(values.len().div_ceil(parts).max(1)).map(|share| {
                let mut seen = search.seen();
                for value in share {
                    search.look(&mut seen, *value);
                }
                seen
            });
            let seen: Vec<Seen> = seen.collect();
            search.take(seen);
        }
        assert!(passes <= most_passes, "{passes} passes");
        for rank in &ranks[..7] {
            assert_eq!(
                search.value(*rank),
                sorted.get(*rank as usize).copied(),
                "rank {rank} of {n}"
            );
        }
        assert_eq!(search.value(n), None);
    }

    #[test]
    fn a_few_values_are_kept() {
        for n in [1, 2, 7, MOST_KEPT] {
            let values: Vec<i64> = numbers(1)
                .take(n)
                .map(|number| number as i64 % 1000 - 500)
                .collect();
            check(&values, 1, 1);
        }
    }

    #[test]
    fn a_sample_of_none_has_no_order_statistics() {
        let search = Search::new(&Sample::default(), &[0, 1]);
        assert!(search.is_done());
        assert_eq!(search.value(0), None);
    }

    #[test]
    fn order_statistics_of_many_values_are_exact() {
        for (width, most_passes) in [(1 << 10, 1), (8_000_000, 2), (1 << 40, 2), (1 << 52, 2)] {
            let values: Vec<i64> = numbers(2)
                .take(200_000)
                .map(|number| (number % width) as i64)
                .collect();
            check(&values, 1, most_passes);
            check(&values, 3, most_passes);
        }
    }

    #[test]
    fn negative_values_stand_before_the_others() {
        let values: Vec<i64> = numbers(3)
            .take(200_000)
            .map(|number| number as i64 % 20_000_000 - 10_000_000)
            .collect();
        check(&values, 2, 3);
        let extremes = [-1 << 54, (-1 << 54) + 1, -1, 0, 1, 1 << 54];
        let values: Vec<i64> = numbers(4)
            .take(100_000)
            .map(|number| extremes[number as usize % 6])
            .collect();
        check(&values, 2, 8);
    }

    #[test]
    fn many_times_the_same_value_is_found_too() {
        check(&vec![5_000_000_001; 300_000], 2, 4);
        let mut values = vec![5_000_000_001; 300_000];
        values.extend(
            numbers(5)
                .take(100_000)
                .map(|number| (number % 9_000_000_000) as i64),
        );
        check(&values, 2, 4);
    }

    #[test]
    fn a_part_that_kept_its_values_joins_one_that_counted_them() {
        let mut values: Vec<i64> = numbers(6)
            .take(100_000)
            .map(|number| (number % 50_000_000) as i64)
            .collect();
        let (many, few) = (values.clone(), vec![7, 3, 50_000_001]);
        for turn in [false, true] {
            let (mut counted, mut kept) = (Sample::default(), Sample::default());
            for value in &many {
                counted.add(*value);
            }
            for value in &few {
                kept.add(*value);
            }
            let (mut first, second) = if turn { (kept, counted) } else { (counted, kept) };
            first.merge(second);
            assert_eq!(first.count, 100_003);
            assert_eq!(
                (first.min, first.max),
                (3.min(*many.iter().min().unwrap()), 50_000_001)
            );
            let mut search = Search::new(&first, &[0, 100_002]);
            while !search.is_done() {
                let mut seen = search.seen();
                many.iter()
                    .chain(&few)
                    .for_each(|value| search.look(&mut seen, *value));
                search.take([seen]);
            }
            assert_eq!(search.value(100_002), Some(50_000_001));
        }
        values.extend(few);
        check(&values, 5, 3);
    }
}
