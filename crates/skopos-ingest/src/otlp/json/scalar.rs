//! Scalars of protobuf's JSON mapping, each lenient in what the mapping allows: `null` is the
//! default value, numbers may stand in strings.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use super::Mirror;

/// `string`.
#[derive(Default)]
pub(super) struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<String>::deserialize(deserializer).map(|text| Self(text.unwrap_or_default()))
    }
}

impl Mirror for Text {
    type Message = String;

    fn message(self) -> String {
        self.0
    }
}

/// `bool`.
#[derive(Default)]
pub(super) struct Truth(bool);

impl<'de> Deserialize<'de> for Truth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<bool>::deserialize(deserializer).map(|value| Self(value.unwrap_or_default()))
    }
}

impl Mirror for Truth {
    type Message = bool;

    fn message(self) -> bool {
        self.0
    }
}

/// A repeated field.
pub(super) struct List<T>(Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_option(ListVisitor(PhantomData)).map(Self)
    }
}

thread_local! {
    /// Bytes that the lists of the request being parsed may still take; `None` once spent.
    static BUDGET: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Starts a request: its lists may take `bytes` in memory.
pub(super) fn set_budget(bytes: usize) {
    BUDGET.set(Some(bytes));
}

/// Whether the last parse on this thread failed because it used up its budget.
pub(super) fn budget_is_spent() -> bool {
    BUDGET.get().is_none()
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_none<E: Error>(self) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = seq.next_element()? {
            let left = BUDGET.get().and_then(|left| left.checked_sub(size_of::<T>()));
            BUDGET.set(left);
            if left.is_none() {
                return Err(A::Error::custom("too many parts"));
            }
            list.push(item);
        }
        Ok(list)
    }
}

impl<T: Mirror> Mirror for List<T> {
    type Message = Vec<T::Message>;

    fn message(self) -> Self::Message {
        self.0.into_iter().map(Mirror::message).collect()
    }
}

impl<T: Mirror> Mirror for Option<T> {
    type Message = Option<T::Message>;

    fn message(self) -> Self::Message {
        self.map(Mirror::message)
    }
}

/// A number type that JSON may carry as number or text.
pub(super) trait Number: Sized + Default {
    fn from_u64(value: u64) -> Option<Self>;
    fn from_i64(value: i64) -> Option<Self>;
    fn from_f64(value: f64) -> Option<Self>;
    fn from_text(text: &str) -> Option<Self>;
}

macro_rules! integer {
    ($($type:ty),*) => {$(
        impl Number for $type {
            fn from_u64(value: u64) -> Option<Self> {
                value.try_into().ok()
            }

            fn from_i64(value: i64) -> Option<Self> {
                value.try_into().ok()
            }

            fn from_f64(value: f64) -> Option<Self> {
                // Whole numbers may be written as 1e3 or 1.0; beyond 2^53 digits would be made up.
                let whole = value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0;
                if whole { Self::from_i64(value as i64) } else { None }
            }

            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok().or_else(|| Self::from_f64(text.parse().ok()?))
            }
        }
    )*};
}

integer!(u32, u64, i32, i64);

impl Number for f64 {
    fn from_u64(value: u64) -> Option<Self> {
        Some(value as f64)
    }

    fn from_i64(value: i64) -> Option<Self> {
        Some(value as f64)
    }

    fn from_f64(value: f64) -> Option<Self> {
        Some(value)
    }

    fn from_text(text: &str) -> Option<Self> {
        // Rust reads "NaN", "Infinity" and "-Infinity" just as the mapping spells them.
        text.parse().ok()
    }
}

/// A number.
#[derive(Default)]
pub(super) struct Num<N>(N);

impl<N> Mirror for Num<N> {
    type Message = N;

    fn message(self) -> N {
        self.0
    }
}

impl<'de, N: Number> Deserialize<'de> for Num<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor::<N>(PhantomData)).map(Self)
    }
}

struct NumberVisitor<N>(PhantomData<N>);

impl<N: Number> Visitor<'_> for NumberVisitor<N> {
    type Value = N;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number of type {}", std::any::type_name::<N>())
    }

    fn visit_unit<E: Error>(self) -> Result<N, E> {
        Ok(N::default())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<N, E> {
        N::from_u64(value).ok_or_else(|| E::custom(format_args!("{value} is out of range")))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<N, E> {
        N::from_i64(value).ok_or_else(|| E::custom(format_args!("{value} is out of range")))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<N, E> {
        N::from_f64(value).ok_or_else(|| E::custom(format_args!("{value} is not a whole number")))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<N, E> {
        N::from_text(text).ok_or_else(|| E::custom(format_args!("{text:?} is not a number")))
    }
}

/// An enum: OTLP demands its number; protobuf's names are understood too, unknown ones being 0.
pub(super) struct Enum<E>(i32, PhantomData<E>);

impl<E> Default for Enum<E> {
    fn default() -> Self {
        Self(0, PhantomData)
    }
}

/// Looks up an enum's number by protobuf's name.
pub(super) trait Named {
    fn number(name: &str) -> Option<i32>;
}

impl<E> Mirror for Enum<E> {
    type Message = i32;

    fn message(self) -> i32 {
        self.0
    }
}

impl<'de, E: Named> Deserialize<'de> for Enum<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = deserializer.deserialize_any(EnumVisitor::<E>(PhantomData))?;
        Ok(Self(number, PhantomData))
    }
}

struct EnumVisitor<E>(PhantomData<E>);

impl<N: Named> Visitor<'_> for EnumVisitor<N> {
    type Value = i32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the number of an enum")
    }

    fn visit_unit<E: Error>(self) -> Result<i32, E> {
        Ok(0)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<i32, E> {
        NumberVisitor(PhantomData).visit_u64(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<i32, E> {
        NumberVisitor(PhantomData).visit_i64(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<i32, E> {
        NumberVisitor(PhantomData).visit_f64(value)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<i32, E> {
        Ok(N::number(text).or_else(|| text.parse().ok()).unwrap_or_default())
    }
}

/// A trace or span id in hexadecimal digits of either case.
#[derive(Default)]
pub(super) struct Hex(Vec<u8>);

impl Mirror for Hex {
    type Message = Vec<u8>;

    fn message(self) -> Vec<u8> {
        self.0
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        // One byte is no id of any kind: the record is rejected where ids are checked.
        Ok(Self(hex(text.as_bytes()).unwrap_or_else(|| vec![0xff])))
    }
}

fn hex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some((digit(*high)? << 4 | digit(*low)?) as u8),
            _ => None,
        })
        .collect()
}
