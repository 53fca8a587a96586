//! Labels whose number of values is bounded by their type.
//!
//! A closed set is an enum made by [`label_values!`](crate::label_values); an open one is a [`Bounded<N>`], of which the
//! family keeps the first `N` values. There is no way to use a plain `String` as a label.

use std::borrow::Cow;

/// One label's value.
///
/// An enum without fields derives it (feature `derive`); its values are the variants in snake_case, or what
/// `#[label(rename = "…")]` says:
///
/// ```
/// use skopos::metrics::{LabelSet, LabelValue, Registry};
///
/// #[derive(LabelValue)]
/// enum PaymentMethod { Card, #[label(rename = "pay_pal")] PayPal }
///
/// #[derive(LabelSet)]
/// struct OrderLabels { payment_method: PaymentMethod }
///
/// let registry = Registry::new();
/// let orders = registry.counter_family::<OrderLabels>("orders_placed_total", "Orders placed.");
/// orders.get(&OrderLabels { payment_method: PaymentMethod::PayPal }).inc();
/// assert_eq!((PaymentMethod::Card.label(), PaymentMethod::LIMIT), ("card", 2));
/// # let text = registry.encode(skopos::metrics::Format::Prometheus);
/// # assert!(text.contains(r#"orders_placed_total{payment_method="pay_pal"} 1"#));
/// ```
///
/// A user id is no label:
///
/// ```compile_fail
/// #[derive(skopos::metrics::LabelSet)]
/// struct OrderLabels { user_id: String }
/// ```
pub trait LabelValue {
    /// How many different values a family keeps; what comes later is `other`.
    const LIMIT: usize;

    /// Returns the text of the value.
    fn label(&self) -> &str;
}

/// The labels of a family, in order.
pub trait LabelSet: 'static {
    /// The names of the labels.
    const NAMES: &'static [&'static str];
    /// How many values each of them may have.
    const LIMITS: &'static [usize];

    /// Calls back with the value of each label, in the order of [`LabelSet::NAMES`].
    fn visit(&self, value: &mut dyn FnMut(&str));
}

/// A value out of an open set: the first `N` different ones are kept apart, all others are `other`.
///
/// Take an `N` below 100: each value is a series of its own, multiplied by the values of the other labels. User ids,
/// request ids and times do not belong in a label at all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Bounded<const N: usize>(Cow<'static, str>);

impl<const N: usize> Bounded<N> {
    /// Makes a value.
    pub fn new(value: impl Into<Cow<'static, str>>) -> Self {
        Bounded(value.into())
    }
}

impl<const N: usize> From<&str> for Bounded<N> {
    fn from(value: &str) -> Self {
        Bounded(Cow::Owned(value.to_owned()))
    }
}

impl<const N: usize> From<String> for Bounded<N> {
    fn from(value: String) -> Self {
        Bounded(Cow::Owned(value))
    }
}

impl<const N: usize> LabelValue for Bounded<N> {
    const LIMIT: usize = N;

    fn label(&self) -> &str {
        &self.0
    }
}

impl LabelValue for bool {
    const LIMIT: usize = 2;

    fn label(&self) -> &str {
        if *self { "true" } else { "false" }
    }
}

/// Defines an enum whose variants are the values of a label.
///
/// ```
/// skopos::label_values! {
///     /// Outcome of a payment.
///     pub enum Outcome { Approved => "approved", Declined => "declined" }
/// }
/// use skopos::metrics::LabelValue;
/// assert_eq!((Outcome::Approved.label(), Outcome::LIMIT), ("approved", 2));
/// ```
#[macro_export]
macro_rules! label_values {
    ($(#[$meta:meta])* $visibility:vis enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident => $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        $visibility enum $name {
            $(
                #[doc = concat!("`", $text, "`")]
                $(#[$variant_meta])*
                $variant,
            )+
        }

        impl $crate::metrics::LabelValue for $name {
            const LIMIT: usize = [$($text),+].len();

            fn label(&self) -> &str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

/// Defines a struct whose fields are the labels of a family. Each field's type is a [`LabelValue`].
///
/// ```
/// use skopos::metrics::Bounded;
/// skopos::labels! {
///     /// Labels of a queue.
///     pub struct QueueLabels { queue_name: Bounded<8> }
/// }
/// let labels = QueueLabels { queue_name: "emails".into() };
/// # let _ = labels;
/// ```
#[macro_export]
macro_rules! labels {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident { $($(#[$field_meta:meta])* $field:ident : $type:ty),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        $visibility struct $name {
            $(
                #[doc = concat!("Label `", stringify!($field), "`.")]
                $(#[$field_meta])*
                $visibility $field: $type,
            )+
        }

        impl $crate::metrics::LabelSet for $name {
            const NAMES: &'static [&'static str] = &[$(stringify!($field)),+];
            const LIMITS: &'static [usize] = &[$(<$type as $crate::metrics::LabelValue>::LIMIT),+];

            fn visit(&self, value: &mut dyn FnMut(&str)) {
                $(value($crate::metrics::LabelValue::label(&self.$field));)+
            }
        }
    };
}
