//! 256-bit natural numbers: as much arithmetic as comparing cumulated rates exactly takes.

/// A number below 2^256; its order is that of its fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wide {
    high: u128,
    low: u128,
}

const HALF_BITS: u32 = 64;
const HALF_MASK: u128 = (1 << HALF_BITS) - 1;

impl Wide {
    /// `a * b`.
    pub(super) fn product(a: u128, b: u128) -> Self {
        let (a_high, a_low) = (a >> HALF_BITS, a & HALF_MASK);
        let (b_high, b_low) = (b >> HALF_BITS, b & HALF_MASK);
        let lowest = a_low * b_low;
        let middle = a_high * b_low + (lowest >> HALF_BITS);
        let other = a_low * b_high + (middle & HALF_MASK);
        Self {
            high: a_high * b_high + (middle >> HALF_BITS) + (other >> HALF_BITS),
            low: (other << HALF_BITS) | (lowest & HALF_MASK),
        }
    }

    /// `self * factor`, which must be below 2^256.
    pub(super) fn times(self, factor: u128) -> Self {
        let mut product = Self::product(self.low, factor);
        product.high += self.high * factor;
        product
    }

    /// `self + other`, which must be below 2^256.
    pub(super) fn plus(self, other: Self) -> Self {
        let (low, carry) = self.low.overflowing_add(other.low);
        Self {
            high: self.high + other.high + u128::from(carry),
            low,
        }
    }

    /// `self - other`, which must not be negative.
    pub(super) fn minus(self, other: Self) -> Self {
        let (low, borrow) = self.low.overflowing_sub(other.low);
        Self {
            high: self.high - other.high - u128::from(borrow),
            low,
        }
    }

    /// The nearest float, but for some units in its last place.
    pub(super) fn to_f64(self) -> f64 {
        self.high as f64 * 2_f64.powi(128) + self.low as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(high: u128, low: u128) -> Wide {
        Wide { high, low }
    }

    #[test]
    fn products_carry_through_all_bits() {
        let most = u128::MAX;
        // (2^128 - 1)^2 = 2^256 - 2^129 + 1
        assert_eq!(Wide::product(most, most), wide(most - 1, 1));
        assert_eq!(Wide::product(most, 2), wide(1, most - 1));
        assert_eq!(Wide::product(1 << 64, 1 << 64), wide(1, 0));
        assert_eq!(Wide::product(0, most), wide(0, 0));
        assert_eq!(wide(3, most).times(4), wide(15, most - 3));
    }

    #[test]
    fn sums_and_differences_carry() {
        assert_eq!(wide(1, u128::MAX).plus(wide(0, 1)), wide(2, 0));
        assert_eq!(wide(2, 0).minus(wide(0, 1)), wide(1, u128::MAX));
        assert!(wide(1, 0) > wide(0, u128::MAX));
        assert!((wide(1, 0).to_f64() - 2_f64.powi(128)).abs() < 1.0);
    }
}
