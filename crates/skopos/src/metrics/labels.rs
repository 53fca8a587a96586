//! Labels whose number of values is bounded by their type.
//!
//! A closed set is an enum made by [`label_values!`](crate::label_values); an open one is a [`Bounded<N>`], of which the
//! family keeps the first `N` values. There is no way to use a plain `String` as a label. A set of labels that are all
//! closed is a number below the product of their sizes, so a family finds its instrument by index, without hashing.

use std::borrow::Cow;
use std::sync::Arc;

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

    /// Whether the set of values is closed: [`LabelValue::index`] then tells each from the others.
    const CLOSED: bool = false;

    /// Returns the text of the value.
    fn label(&self) -> &str;

    /// Returns the place of the value in a closed set, below [`LabelValue::LIMIT`].
    fn index(&self) -> usize {
        0
    }
}

/// The labels of a family, in order.
///
/// ```
/// use skopos::metrics::LabelSet as _;
///
/// skopos::labels! { struct OrderLabels { region: skopos::metrics::Bounded<16> } }
/// assert_eq!((OrderLabels::NAMES, OrderLabels::LIMITS), (&["region"][..], &[16][..]));
/// # let _ = OrderLabels { region: "eu".into() };
/// ```
pub trait LabelSet: 'static {
    /// The names of the labels.
    const NAMES: &'static [&'static str];
    /// How many values each of them may have.
    const LIMITS: &'static [usize];
    /// How many label sets there are when every label is of a closed set, otherwise 0.
    const CELLS: usize = 0;

    /// Calls back with the value of each label, in the order of [`LabelSet::NAMES`].
    fn visit(&self, value: &mut dyn FnMut(&str));

    /// Returns the number of this label set, below [`LabelSet::CELLS`] where that is not 0.
    fn cell(&self) -> usize {
        0
    }
}

/// A value out of an open set: the first `N` different ones are kept apart, all others are `other`.
///
/// Take an `N` below 100: each value is a series of its own, multiplied by the values of the other labels. User ids,
/// request ids and times do not belong in a label at all.
///
/// ```
/// use skopos::metrics::{Bounded, LabelValue};
/// let region: Bounded<16> = "eu-central-1".into();
/// assert_eq!(region.label(), "eu-central-1");
/// ```
#[derive(Clone)]
pub struct Bounded<const N: usize>(Text);

/// Longest text that needs no allocation.
const INLINE: usize = 38;

#[derive(Clone)]
enum Text {
    Static(&'static str),
    Inline { length: u8, bytes: [u8; INLINE] },
    Shared(Arc<str>),
}

impl Text {
    fn copy(text: &str) -> Text {
        let mut bytes = [0; INLINE];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(text.as_bytes());
                Text::Inline { length, bytes }
            }
            _ => Text::Shared(Arc::from(text)),
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Text::Static(text) => text,
            // Whole strings only are copied in: neither step fails.
            Text::Inline { length, bytes } => bytes
                .get(..usize::from(*length))
                .and_then(|bytes| std::str::from_utf8(bytes).ok())
                .unwrap_or_default(),
            Text::Shared(text) => text,
        }
    }
}

impl<const N: usize> Bounded<N> {
    /// Makes a value. One that is `'static` or shorter than 39 bytes costs no allocation.
    ///
    /// ```
    /// let region = skopos::metrics::Bounded::<16>::new("eu");
    /// # let _ = region;
    /// ```
    pub fn new(value: impl Into<Cow<'static, str>>) -> Self {
        match value.into() {
            Cow::Borrowed(text) => Bounded(Text::Static(text)),
            Cow::Owned(text) => Bounded(Text::copy(&text)),
        }
    }
}

impl<const N: usize> From<&str> for Bounded<N> {
    fn from(value: &str) -> Self {
        Bounded(Text::copy(value))
    }
}

impl<const N: usize> From<String> for Bounded<N> {
    fn from(value: String) -> Self {
        Bounded(Text::copy(&value))
    }
}

impl<const N: usize> PartialEq for Bounded<N> {
    fn eq(&self, other: &Self) -> bool {
        self.label() == other.label()
    }
}

impl<const N: usize> Eq for Bounded<N> {}

impl<const N: usize> std::hash::Hash for Bounded<N> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.label().hash(state);
    }
}

impl<const N: usize> std::fmt::Debug for Bounded<N> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Bounded").field(&self.label()).finish()
    }
}

impl<const N: usize> LabelValue for Bounded<N> {
    const LIMIT: usize = N;

    fn label(&self) -> &str {
        self.0.as_str()
    }
}

impl LabelValue for bool {
    const LIMIT: usize = 2;
    const CLOSED: bool = true;

    fn label(&self) -> &str {
        if *self { "true" } else { "false" }
    }

    fn index(&self) -> usize {
        usize::from(*self)
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
            const CLOSED: bool = true;

            fn label(&self) -> &str {
                match self { $(Self::$variant => $text,)+ }
            }

            fn index(&self) -> usize {
                *self as usize
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

            const CELLS: usize = if true $(&& <$type as $crate::metrics::LabelValue>::CLOSED)+ {
                1 $(* <$type as $crate::metrics::LabelValue>::LIMIT)+
            } else {
                0
            };

            fn visit(&self, value: &mut dyn FnMut(&str)) {
                $(value($crate::metrics::LabelValue::label(&self.$field));)+
            }

            fn cell(&self) -> usize {
                let cell = 0;
                $(
                    let cell = cell * <$type as $crate::metrics::LabelValue>::LIMIT
                        + $crate::metrics::LabelValue::index(&self.$field);
                )+
                cell
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::{Bounded, INLINE, LabelSet as _, LabelValue as _};

    crate::label_values! {
        enum Size { Small => "small", Large => "large", Huge => "huge" }
    }
    crate::labels! {
        struct Closed { size: Size, express: bool }
    }
    crate::labels! {
        struct Open { size: Size, region: Bounded<4> }
    }

    #[test]
    fn every_label_set_of_closed_sets_has_a_number_of_its_own() {
        let mut cells = Vec::new();
        for size in [Size::Small, Size::Large, Size::Huge] {
            for express in [false, true] {
                cells.push(Closed { size, express }.cell());
            }
        }
        cells.sort_unstable();
        assert_eq!(cells, [0, 1, 2, 3, 4, 5]);
        assert_eq!((Closed::CELLS, Open::CELLS), (6, 0));
    }

    #[test]
    fn a_value_comes_back_whatever_its_length() {
        for length in [0, 1, INLINE - 1, INLINE, INLINE + 1, 300, 256 + INLINE] {
            let text = "\u{e9}".repeat(length / 2) + if length % 2 == 1 { "x" } else { "" };
            assert_eq!(text.len(), length);
            let value: Bounded<3> = text.as_str().into();
            assert_eq!(value.label(), text);
            assert_eq!(value, Bounded::new(text));
        }
    }
}
