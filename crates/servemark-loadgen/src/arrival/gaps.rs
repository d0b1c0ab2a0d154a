//! Operational time: when arrivals would be due at one a unit of time.

use crate::draw::splitmix64;
use crate::error::PlanError;

/// Fraction bits of operational time. Sums of such numbers are exact, whereas those of floats would drift.
pub(super) const GAP_BITS: u32 = 32;

/// Keeps the draws of gaps apart from those of inputs and steps, which come from the same seed.
const GAP_KEY: u64 = 0x6172_7269_7661_6c73;

/// Beyond it, gamma gaps are so rarely more than nothing that no run would see their mean.
const HIGHEST_CV: f64 = 100.0;

/// How the gaps between arrivals are drawn; their mean is 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gaps {
    /// All are equal, and the first arrival is due at once.
    Constant,
    /// Exponential: a Poisson process, from its start.
    Exponential,
    /// Gamma with this coefficient of variation: bursts above 1, more regular than Poisson below.
    Gamma {
        /// Standard deviation over mean.
        cv: f64,
    },
}

impl Gaps {
    pub(super) fn validate(self) -> Result<(), PlanError> {
        match self {
            Self::Gamma { cv } if !(cv > 0.0 && cv <= HIGHEST_CV) => Err(PlanError(format!(
                "gamma's coefficient of variation must be above 0 and at most {HIGHEST_CV}, not {cv}"
            ))),
            _ => Ok(()),
        }
    }

    /// The gap before arrival `number`, in units of 2^-[`GAP_BITS`].
    fn draw(self, key: u64, number: u64) -> u64 {
        let mut uniform = Uniform(splitmix64(key ^ number));
        let gap = match self {
            Self::Constant => 1.0,
            Self::Exponential => uniform.exponential(),
            Self::Gamma { cv } => uniform.gamma(1.0 / (cv * cv)) * cv * cv,
        };
        (gap * (1_u64 << GAP_BITS) as f64).round() as u64
    }
}

/// The running sum of drawn gaps.
#[derive(Debug)]
pub(super) struct Drawn {
    gaps: Gaps,
    key: u64,
    /// How many gaps the sum has.
    summed: u64,
    sum: u128,
}

impl Drawn {
    pub(super) fn new(gaps: Gaps, seed: u64, stream: u32) -> Self {
        Self {
            gaps,
            key: splitmix64(splitmix64(seed ^ GAP_KEY) ^ u64::from(stream)),
            summed: 0,
            sum: 0,
        }
    }

    /// u(`number`) in units of 2^-[`GAP_BITS`]; no lower `number` than before may be asked for.
    pub(super) fn operational_time(&mut self, number: u64) -> u128 {
        if self.gaps == Gaps::Constant {
            return u128::from(number) << GAP_BITS;
        }
        debug_assert!(self.summed <= number + 1);
        while self.summed <= number {
            self.sum += u128::from(self.gaps.draw(self.key, self.summed));
            self.summed += 1;
        }
        self.sum
    }
}

/// Random numbers that belong to one arrival: the splitmix64 sequence from a state of its own.
struct Uniform(u64);

impl Uniform {
    /// Above 0 and below 1, never either.
    fn draw(&mut self) -> f64 {
        let bits = splitmix64(self.0) >> 11;
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (bits as f64 + 0.5) * 2_f64.powi(-53)
    }

    /// Exponential of mean 1, by inversion.
    fn exponential(&mut self) -> f64 {
        -libm::log(self.draw())
    }

    /// Standard normal, by Marsaglia's polar method: "Improving the polar method for generating a pair of random
    /// variables", 1962. (The second of the pair is not used.)
    fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (2.0 * self.draw() - 1.0, 2.0 * self.draw() - 1.0);
            let square = x * x + y * y;
            if square < 1.0 && square > 0.0 {
                return x * (-2.0 * libm::log(square) / square).sqrt();
            }
        }
    }

    /// Gamma of mean and variance `shape`: Marsaglia and Tsang, "A simple method for generating gamma variables", 2000;
    /// below 1 by their section 6, a draw of shape + 1 times a power of a uniform one.
    fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let boost = libm::exp(libm::log(self.draw()) / shape);
            return self.gamma(shape + 1.0) * boost;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x) * (1.0 + c * x) * (1.0 + c * x);
            if v > 0.0 && libm::log(self.draw()) < 0.5 * x * x + d - d * v + d * libm::log(v) {
                return d * v;
            }
        }
    }
}
