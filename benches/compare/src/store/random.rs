//! Numbers that look random and are the same at every run.

/// xorshift64*.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        // Spread first: small seeds make poor beginnings.
        Self(mix(seed) | 1)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// In [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Below `n`, which is above 0.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// One of them; early ones more often, as names are in real traffic.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        let skewed = self.unit() * self.unit();
        items[(skewed * items.len() as f64) as usize]
    }

    /// A duration in milliseconds with a long tail.
    pub fn latency_ms(&mut self, typical: f64) -> f64 {
        let tail = 1.0 / (1.0 - self.unit() * 0.9995).sqrt();
        typical * (0.4 + 0.6 * self.unit()) * tail
    }
}

/// splitmix64: a bijection, so that `mix(i)` of different `i` are different.
pub fn mix(i: u64) -> u64 {
    let mut z = i.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_in_range_and_repeat() {
        let (mut a, mut b) = (Random::new(7), Random::new(7));
        for _ in 0..1_000 {
            assert_eq!(a.bits(), b.bits());
            let (unit, below) = (a.unit(), a.below(10));
            assert!((0.0..1.0).contains(&unit) && below < 10);
            assert_eq!((unit, below), (b.unit(), b.below(10)));
        }
    }
}
