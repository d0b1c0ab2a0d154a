//! Random draws: which step a loop of a mix performs, and which input of its pool a request sends.
//!
//! Each is a pure function of the plan's seed and of whose request it is, so that the other engine draws the same.

use crate::due::Arrival;

/// Which of a pool of `size` requests is sent: a pure function of the plan's seed, of whose request it is (the user and
/// how often it has performed its scenario, or the number of the arrival) and of its place there. No response moves it,
/// nor does the number of threads; a step that is repeated sends the same again.
///
/// Four rounds of splitmix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014), scaled
/// to the pool by a 128-bit product, whose bias is below `size / 2^64`.
pub(crate) fn draw(seed: u64, arrival: &Arrival, size: usize) -> u32 {
    if size <= 1 {
        return 0;
    }
    let place = (u64::from(arrival.step) << 16) | u64::from(arrival.position);
    let mixed = splitmix64(splitmix64(splitmix64(seed) ^ place) ^ u64::from(arrival.user));
    let mixed = splitmix64(mixed ^ arrival.loop_number);
    ((u128::from(mixed) * size as u128) >> 64) as u32
}

/// Which of a pool of `size` requests is sent where each is sent once before any is sent again: a pure function of the
/// plan's seed and of the number of the request among those that draw from it.
///
/// The numbers are passed through a permutation of the pool, another one each time that it has been used up: number n
/// gets a n + b modulo `size`, with an a that shares no divisor with it.
pub(crate) fn draw_each_once(seed: u64, number: u64, size: usize) -> u32 {
    let size = size as u64;
    if size <= 1 {
        return 0;
    }
    let (round, place) = (number / size, number % size);
    let mixed = splitmix64(splitmix64(seed) ^ round);
    let mut factor = mixed % size;
    while factor == 0 || common_divisor(factor, size) > 1 {
        factor = (factor + 1) % size;
    }
    let offset = splitmix64(mixed) % size;
    ((u128::from(factor) * u128::from(place) + u128::from(offset)) % u128::from(size)) as u32
}

/// The greatest common divisor, after Euclid.
fn common_divisor(one: u64, other: u64) -> u64 {
    if other == 0 {
        one
    } else {
        common_divisor(other, one % other)
    }
}

/// Which of a group's steps a user performs in a loop of a mix: a pure function of the plan's seed, the user and the
/// number of the loop. The chance of each step is its share of the weights.
pub(crate) fn draw_weighted(seed: u64, user: u64, loop_number: u64, weights: &[u32]) -> u16 {
    // Inverted, so that what a loop performs and which input it sends are drawn apart.
    let mixed = splitmix64(splitmix64(splitmix64(!seed) ^ user) ^ loop_number);
    let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    let mut left = ((u128::from(mixed) * u128::from(total)) >> 64) as u64;
    let chosen = weights.iter().position(|&weight| {
        let is_here = left < u64::from(weight);
        left = left.saturating_sub(u64::from(weight));
        is_here
    });
    chosen.unwrap_or(0) as u16
}

pub(crate) fn splitmix64(state: u64) -> u64 {
    let mut mixed = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_gives_the_published_sequence() {
        // The first outputs of the reference implementation from state 0.
        assert_eq!(splitmix64(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(splitmix64(0x9e37_79b9_7f4a_7c15), 0x6e78_9e6a_a1b9_65f4);
    }

    fn place(step: u16, position: u16, user: u32, loop_number: u64) -> Arrival {
        Arrival {
            scheduled_ns: 0,
            user,
            loop_number,
            step,
            group: 0,
            position,
            is_open: false,
            step_since_ns: 0,
        }
    }

    #[test]
    fn a_draw_depends_on_the_seed_and_on_whose_request_it_is_where() {
        let again = Arrival {
            scheduled_ns: 7,
            step_since_ns: 5,
            ..place(1, 2, 3, 4)
        };
        assert_eq!(draw(9, &place(1, 2, 3, 4), 1000), draw(9, &again, 1000));
        assert_eq!(draw(9, &again, 1), 0);
        let picks = |seed, step, position, user| -> Vec<u32> {
            (0..64)
                .map(|loop_number| draw(seed, &place(step, position, user, loop_number), 1000))
                .collect()
        };
        let first = picks(1, 1, 1, 1);
        for other in [
            picks(2, 1, 1, 1),
            picks(1, 2, 1, 1),
            picks(1, 1, 2, 1),
            picks(1, 1, 1, 2),
        ] {
            assert_ne!(other, first);
        }
    }

    #[test]
    fn each_is_drawn_once_before_any_is_drawn_again() {
        for size in [1, 2, 7, 12, 1000, 4096] {
            let round = |first: u64| -> Vec<u32> {
                (first..first + size)
                    .map(|number| draw_each_once(5, number, size as usize))
                    .collect()
            };
            let (first, second) = (round(0), round(size));
            for drawn in [&first, &second] {
                let mut sorted = drawn.clone();
                sorted.sort_unstable();
                assert!(sorted.into_iter().eq(0..size as u32), "{size}");
            }
            assert!(size < 1000 || first != second);
        }
    }

    #[test]
    fn draws_are_those_of_the_other_engine() {
        // As tests/unit/test_jmeter_plan.py has them.
        let drawn = (0..8).map(|number| draw(42, &place(1, 2, number % 3, u64::from(number) << 30), 1000));
        assert_eq!(
            drawn.collect::<Vec<_>>(),
            [770, 400, 194, 801, 553, 237, 924, 375]
        );
    }

    #[test]
    fn draws_use_the_whole_pool_evenly() {
        for by_user in [true, false] {
            let mut counts = [0_u32; 7];
            for number in 0..70_000 {
                let (user, loop_number) = if by_user {
                    (number, 0)
                } else {
                    (3, u64::from(number))
                };
                counts[draw(42, &place(1, 0, user, loop_number), 7) as usize] += 1;
            }
            // 5 standard deviations of a binomial(70000, 1/7) are 463.
            assert!(counts.iter().all(|&count| count.abs_diff(10_000) < 463));
        }
    }
}
