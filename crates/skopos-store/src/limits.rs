//! How many series there may be, and what they may look like.
//!
//! The limits concern *new* series only: a series that the head knows takes samples whatever the
//! limits say, so that a label that explodes in one place never silences what is watched in
//! another, and lowering a limit never cuts off what is there. They do not concern the samples of
//! state commits (rules and alerts must go on) nor replay (what was taken in once is taken again).
//!
//! Everything over a limit is counted and named: see [`SeriesRefusal`](crate::SeriesRefusal).

/// Limits on new series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesLimits {
    /// Series in the head. Default 1,000,000.
    pub head_series: usize,
    /// Series of one metric in the head. Default 100,000.
    pub metric_series: usize,
    /// Labels of a series, its name not counted. Default 128.
    pub labels_per_series: usize,
    /// Bytes of a label's name or of the metric's. Default 1,024.
    pub label_name_bytes: usize,
    /// Bytes of a label's value. Default 2,048.
    pub label_value_bytes: usize,
    /// What happens to a new series beyond `head_series` or `metric_series`.
    pub on_limit: OnLimit,
}

impl SeriesLimits {
    /// The reasons for which a new series may be refused: the names of the limits.
    pub const REASONS: [&'static str; 5] = [
        "head_series",
        "metric_series",
        "labels_per_series",
        "label_name_bytes",
        "label_value_bytes",
    ];
}

impl Default for SeriesLimits {
    fn default() -> Self {
        Self {
            head_series: 1_000_000,
            metric_series: 100_000,
            labels_per_series: 128,
            label_name_bytes: 1_024,
            label_value_bytes: 2_048,
            on_limit: OnLimit::Refuse,
        }
    }
}

/// What happens to new series at a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLimit {
    /// They are refused.
    #[default]
    Refuse,
    /// Counters are added up in one series whose value of the label that grew is `other`;
    /// everything else is refused, because only increases can be added without becoming wrong.
    /// Series that are too long or have too many labels are refused in either case.
    Fold,
}
