//! Several measurements of one thing: median and percentiles.

/// Measurements of one thing.
#[derive(Clone, Debug, Default)]
pub struct Spread(Vec<f64>);

impl Spread {
    pub fn push(&mut self, value: f64) {
        let at = self.0.partition_point(|known| known.total_cmp(&value).is_lt());
        self.0.insert(at, value);
    }

    /// The smallest value that so many (0 to 1) do not exceed; NaN when there are none.
    pub fn quantile(&self, q: f64) -> f64 {
        let at = (self.0.len() as f64 * q).ceil() as usize;
        self.0.get(at.clamp(1, self.0.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl FromIterator<f64> for Spread {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut spread = Self::default();
        values.into_iter().for_each(|value| spread.push(value));
        spread
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let spread: Spread = [5.0, 1.0, 4.0, 2.0, 3.0].into_iter().collect();
        for (q, expect) in [(0.0, 1.0), (0.2, 1.0), (0.5, 3.0), (0.99, 5.0), (1.0, 5.0)] {
            assert_eq!(spread.quantile(q), expect, "{q}");
        }
        assert!(Spread::default().median().is_nan());
        assert_eq!(spread.len(), 5);
    }
}
