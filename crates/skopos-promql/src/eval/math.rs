//! Sums, means, deviations and quantiles that stay accurate.

/// A sum with the rounding error carried along (Kahan's method with Neumaier's improvement).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KahanSum {
    sum: f64,
    error: f64,
}

impl KahanSum {
    pub(crate) fn starting_at(value: f64) -> Self {
        Self { sum: value, error: 0.0 }
    }

    pub(crate) fn add(&mut self, value: f64) {
        let total = self.sum + value;
        if total.is_infinite() {
            self.error = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.error += (self.sum - total) + value;
        } else {
            self.error += (value - total) + self.sum;
        }
        self.sum = total;
    }

    /// The plain sum and the error beside it.
    pub(crate) fn parts(self) -> (f64, f64) {
        (self.sum, self.error)
    }

    /// Adds another sum, errors included.
    pub(crate) fn merge(&mut self, other: KahanSum) {
        self.add(other.sum);
        self.error += other.error;
    }

    pub(crate) fn value(&self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.error }
    }

    fn scaled(self, factor: f64) -> Self {
        Self { sum: self.sum * factor, error: self.error * factor }
    }
}

/// A mean: sum over count, until the sum would overflow; then a running mean.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mean {
    /// The sum, or the running mean once `running`.
    total: KahanSum,
    count: f64,
    running: bool,
}

impl Mean {
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.total = KahanSum::starting_at(value);
            return;
        }
        if !self.running {
            let mut next = self.total;
            next.add(value);
            if next.sum.is_finite() || next.sum.is_nan() {
                self.total = next;
                return;
            }
            self.running = true;
            self.total = KahanSum {
                sum: self.total.sum / (self.count - 1.0),
                error: self.total.error / (self.count - 1.0),
            };
        }
        self.total = self.total.scaled((self.count - 1.0) / self.count);
        self.total.add(value / self.count);
    }

    pub(crate) fn value(&self) -> f64 {
        if self.running {
            self.total.value()
        } else {
            self.total.sum / self.count + self.total.error / self.count
        }
    }
}

/// Variance by Welford's method.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deviation {
    count: f64,
    mean: KahanSum,
    squares: KahanSum,
}

impl Deviation {
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - (self.mean.sum + self.mean.error);
        self.mean.add(delta / self.count);
        self.squares.add(delta * (value - (self.mean.sum + self.mean.error)));
    }

    pub(crate) fn variance(&self) -> f64 {
        (self.squares.sum + self.squares.error) / self.count
    }
}

/// The `q`-quantile, interpolated. Sorts `values`; NaN counts as smallest.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(|a, b| a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan())));
    let last = values.len() - 1;
    let rank = q * last as f64;
    let lower = rank.floor().max(0.0);
    let upper = (lower as usize + 1).min(last);
    let weight = rank - lower;
    values[lower as usize] * (1.0 - weight) + values[upper] * weight
}

/// Least-squares line through points: slope per second, and value at `origin_ms`.
pub(crate) fn linear_regression(
    points: impl Iterator<Item = (i64, f64)> + Clone,
    origin_ms: i64,
) -> (f64, f64) {
    let Some((_, first)) = points.clone().next() else { return (f64::NAN, f64::NAN) };
    if points.clone().all(|(_, y)| y == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let mut n = 0.0;
    let [mut sum_x, mut sum_y, mut sum_xy, mut sum_xx] = [KahanSum::default(); 4];
    for (t, y) in points {
        let x = (t - origin_ms) as f64 / 1000.0;
        n += 1.0;
        sum_x.add(x);
        sum_y.add(y);
        sum_xy.add(x * y);
        sum_xx.add(x * x);
    }
    let plain = |sum: KahanSum| sum.sum + sum.error;
    let (x, y) = (plain(sum_x), plain(sum_y));
    let covariance = plain(sum_xy) - x * y / n;
    let variance = plain(sum_xx) - x * x / n;
    let slope = covariance / variance;
    (slope, y / n - slope * x / n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_keep_what_big_numbers_hide() {
        let mut sum = KahanSum::default();
        for value in [1.0, 1e100, 1.0, -1e100] {
            sum.add(value);
        }
        assert_eq!(sum.value(), 2.0);
    }

    #[test]
    fn means_survive_overflow() {
        let mut mean = Mean::default();
        for value in [9.9e307; 3] {
            mean.add(value);
        }
        assert!((mean.value() / 9.9e307 - 1.0).abs() < 1e-12);
    }

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(0.75, &mut [4.0, 0.0, 1.0]), 2.5);
        assert_eq!(quantile(0.0, &mut [1.0, f64::NAN, 2.0]).to_bits(), f64::NAN.to_bits());
        assert_eq!(quantile(1.0, &mut [1.0, f64::NAN, 2.0]), 2.0);
        assert!(quantile(0.5, &mut []).is_nan());
    }
}
