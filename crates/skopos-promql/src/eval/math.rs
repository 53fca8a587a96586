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

/// Means, variances and covariance of points, such that those of two sets give those of both
/// (Chan's method). Equal values have a variance of exactly zero.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moments {
    count: f64,
    mean_x: f64,
    mean_y: f64,
    /// Sums of squared deviations and of their products.
    xx: f64,
    yy: f64,
    xy: f64,
}

impl Moments {
    pub(crate) fn of(x: f64, y: f64) -> Self {
        Self { count: 1.0, mean_x: x, mean_y: y, ..Self::default() }
    }

    pub(crate) fn merge(self, other: Self) -> Self {
        if self.count == 0.0 {
            return other;
        }
        if other.count == 0.0 {
            return self;
        }
        let count = self.count + other.count;
        let (dx, dy) = (other.mean_x - self.mean_x, other.mean_y - self.mean_y);
        let share = other.count / count;
        let weight = self.count * share;
        Self {
            count,
            mean_x: self.mean_x + dx * share,
            mean_y: self.mean_y + dy * share,
            xx: self.xx + other.xx + dx * dx * weight,
            yy: self.yy + other.yy + dy * dy * weight,
            xy: self.xy + other.xy + dx * dy * weight,
        }
    }

    /// Variance of `y`.
    pub(crate) fn variance(self) -> f64 {
        self.yy / self.count
    }

    /// Slope of the least-squares line.
    pub(crate) fn slope(self) -> f64 {
        self.xy / self.xx
    }

    /// The least-squares line at `x`.
    pub(crate) fn value_at(self, x: f64) -> f64 {
        self.mean_y + self.slope() * (x - self.mean_x)
    }
}

/// Where the `q`-quantile of `count` values lies: between which two, and how far from the first.
/// `Err` holds its value where `q` is none.
fn rank(q: f64, count: usize) -> Result<(usize, usize, f64), f64> {
    if count == 0 || q.is_nan() {
        return Err(f64::NAN);
    }
    if q < 0.0 {
        return Err(f64::NEG_INFINITY);
    }
    if q > 1.0 {
        return Err(f64::INFINITY);
    }
    let last = count - 1;
    let rank = q * last as f64;
    let lower = (rank.floor() as usize).min(last);
    Ok((lower, (lower + 1).min(last), rank - lower as f64))
}

/// The `q`-quantile, interpolated. Reorders `values`; NaN counts as smallest.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    let (lower, upper, weight) = match rank(q, values.len()) {
        Ok(rank) => rank,
        Err(value) => return value,
    };
    let order = |a: &f64, b: &f64| a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()));
    let (_, low, above) = values.select_nth_unstable_by(lower, order);
    let low = *low;
    let high = if upper == lower { Some(low) } else { above.iter().copied().min_by(order) };
    low * (1.0 - weight) + high.unwrap_or(low) * weight
}

/// The same of values in ascending order, none of them NaN.
pub(crate) fn quantile_of_sorted(q: f64, values: &[f64]) -> f64 {
    match rank(q, values.len()) {
        Ok((lower, upper, weight)) => values[lower] * (1.0 - weight) + values[upper] * weight,
        Err(value) => value,
    }
}

/// The median distance from the median, of values in ascending order, none of them NaN.
pub(crate) fn median_deviation_of_sorted(values: &[f64]) -> f64 {
    let median = quantile_of_sorted(0.5, values);
    let Ok((lower, upper, weight)) = rank(0.5, values.len()) else { return f64::NAN };
    // From the median outward distances grow on both sides: merge the two sides.
    let mut right = values.partition_point(|v| *v < median);
    let mut left = right;
    let (mut low, mut high) = (f64::NAN, f64::NAN);
    for i in 0..=upper {
        let below = left.checked_sub(1).map(|at| (values[at] - median).abs());
        let above = values.get(right).map(|v| (*v - median).abs());
        let nearest = match (below, above) {
            (Some(below), Some(above)) if below <= above => {
                left -= 1;
                below
            }
            (Some(below), None) => {
                left -= 1;
                below
            }
            (_, Some(above)) => {
                right += 1;
                above
            }
            (None, None) => break,
        };
        if i == lower {
            low = nearest;
        }
        high = nearest;
    }
    low * (1.0 - weight) + high * weight
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
        assert_eq!(quantile_of_sorted(0.75, &[0.0, 1.0, 4.0]), 2.5);
        assert_eq!(median_deviation_of_sorted(&[0.0, 1.0, 4.0, 100.0]), 2.0);
        assert_eq!(median_deviation_of_sorted(&[7.0]), 0.0);
    }

    #[test]
    fn moments_of_parts_are_those_of_the_whole() {
        let values = [1e9, 1e9 + 1.0, 1e9 - 3.0, 1e9 + 2.0, 1e9];
        let points = || values.iter().enumerate().map(|(i, y)| Moments::of(i as f64, *y));
        let whole = points().fold(Moments::default(), Moments::merge);
        let (left, right) = (points().take(2), points().skip(2));
        let parts = left.fold(Moments::default(), Moments::merge);
        let parts = parts.merge(right.fold(Moments::default(), Moments::merge));
        for (a, b) in [(whole.variance(), parts.variance()), (whole.slope(), parts.slope())] {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
        assert!((whole.variance() - 2.8).abs() < 1e-6, "{}", whole.variance());
        let flat = (0..99).map(|i| Moments::of(f64::from(i), 0.1));
        let flat = flat.fold(Moments::default(), Moments::merge);
        assert_eq!((flat.variance(), flat.slope(), flat.value_at(1e6)), (0.0, 0.0, 0.1));
    }
}
