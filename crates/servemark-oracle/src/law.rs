//! When answers are due: a function of when requests arrived, and of nothing that the oracle does.

/// How long a request is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Always the same time.
    Constant {
        /// That time.
        time_ns: i64,
    },
    /// A time drawn for each request.
    Exponential {
        /// Its mean.
        mean_ns: i64,
    },
}

/// A time in which nothing is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stall {
    /// From so long after the first request on.
    pub(crate) after_ns: i64,
    /// For so long.
    pub(crate) lasting_ns: i64,
}

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Law {
    /// How long a request is served.
    pub(crate) service: Service,
    /// One server, first come, first served; otherwise every request has a server of its own.
    pub(crate) has_queue: bool,
    /// When answers are held back.
    pub(crate) stalls: Vec<Stall>,
    /// Which exponential times are drawn.
    pub(crate) seed: u64,
}

/// The law at work on one sequence of arrivals.
#[derive(Debug)]
pub(crate) struct Departures {
    law: Law,
    first_arrival_ns: Option<i64>,
    /// When the one server has served all that came.
    free_ns: i64,
}

impl Departures {
    /// Before the first arrival.
    pub(crate) fn new(law: Law) -> Self {
        Self {
            law,
            first_arrival_ns: None,
            free_ns: i64::MIN,
        }
    }

    /// Request `number` arrived: how long it is served, and when that ends. Requests are taken in the order of the calls,
    /// in which they were read; of those that came while nobody read, a later one may have arrived a little before.
    ///
    /// With the queue an end is max(arrival, end of the request before) + service (Lindley, "The theory of queues with
    /// a single server", 1952). Stalls hold answers back, not service: see `held_back_ns`.
    pub(crate) fn add(&mut self, arrival_ns: i64, number: u64) -> (i64, i64) {
        self.first_arrival_ns.get_or_insert(arrival_ns);
        let service_ns = match self.law.service {
            Service::Constant { time_ns } => time_ns,
            Service::Exponential { mean_ns } => exponential_ns(self.law.seed, number, mean_ns),
        };
        if !self.law.has_queue {
            return (service_ns, arrival_ns + service_ns);
        }
        self.free_ns = self.free_ns.max(arrival_ns) + service_ns;
        (service_ns, self.free_ns)
    }

    /// When an answer that is ready at `ready_ns` is due: then, or at the end of the stall that holds it back.
    pub(crate) fn held_back_ns(&self, ready_ns: i64) -> i64 {
        self.stalls_ns()
            .find(|&(begin_ns, end_ns)| begin_ns <= ready_ns && ready_ns < end_ns)
            .map_or(ready_ns, |(_, end_ns)| end_ns)
    }

    /// The beginning and end of each stall; none before the first request.
    pub(crate) fn stalls_ns(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.first_arrival_ns.into_iter().flat_map(|first_ns| {
            self.law.stalls.iter().map(move |stall| {
                let begin_ns = first_ns + stall.after_ns;
                (begin_ns, begin_ns + stall.lasting_ns)
            })
        })
    }
}

/// An exponential time, by inversion: a pure function of the seed and the number of the request.
fn exponential_ns(seed: u64, number: u64, mean_ns: i64) -> i64 {
    const BELOW_1: f64 = 1.0 / (1_u64 << 53) as f64;
    let uniform = (mixed(mixed(seed) ^ number) >> 11) as f64 * BELOW_1;
    (-(1.0 - uniform).ln() * mean_ns as f64).round() as i64
}

/// One step of splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014). The load
/// generator has its own: what judges it shares no draw with it.
fn mixed(state: u64) -> u64 {
    let mut bits = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn law(service: Service, has_queue: bool, stalls: &[(i64, i64)]) -> Departures {
        let stalls = stalls
            .iter()
            .map(|&(after_ns, lasting_ns)| Stall { after_ns, lasting_ns });
        Departures::new(Law {
            service,
            has_queue,
            stalls: stalls.collect(),
            seed: 1,
        })
    }

    #[test]
    fn servers_without_number_delay_each_request_by_itself() {
        let mut departures = law(Service::Constant { time_ns: 100 }, false, &[]);
        let ends: Vec<_> = [0, 1, 50, 500].map(|at| departures.add(at, 0).1).into();
        assert_eq!(ends, [100, 101, 150, 600]);
    }

    #[test]
    fn one_server_takes_requests_in_turn() {
        let mut departures = law(Service::Constant { time_ns: 100 }, true, &[]);
        let ends: Vec<_> = [0, 1, 50, 500, 550].map(|at| departures.add(at, 0).1).into();
        assert_eq!(ends, [100, 200, 300, 600, 700]);
    }

    #[test]
    fn a_stall_holds_back_what_would_end_in_it() {
        let mut departures = law(Service::Constant { time_ns: 10 }, false, &[(100, 50), (200, 5)]);
        assert_eq!(departures.held_back_ns(120), 120);
        departures.add(1_000, 0);
        let due: Vec<_> = [1_099, 1_100, 1_149, 1_150, 1_204, 1_205]
            .map(|ready| departures.held_back_ns(ready))
            .into();
        assert_eq!(due, [1_099, 1_150, 1_150, 1_150, 1_205, 1_205]);
    }

    #[test]
    fn exponential_times_have_their_mean_and_spread_and_depend_on_the_seed() {
        let times: Vec<f64> = (0..100_000)
            .map(|n| exponential_ns(3, n, 1_000_000) as f64 / 1e6)
            .collect();
        let mean = times.iter().sum::<f64>() / 1e5;
        let square = times.iter().map(|time| time * time).sum::<f64>() / 1e5;
        // Five standard errors: the variance of a square is 20.
        assert!((mean - 1.0).abs() < 0.016, "{mean}");
        assert!((square - 2.0).abs() < 0.071, "{square}");
        let over_3 = times.iter().filter(|&&time| time > 3.0).count() as f64 / 1e5;
        assert!((over_3 - (-3.0_f64).exp()).abs() < 0.0035, "{over_3}");
        assert_ne!(exponential_ns(3, 0, 1_000_000), exponential_ns(4, 0, 1_000_000));
    }
}
