//! Identifiers: of traces, spans, series and stored events.

use std::fmt;
use std::str::FromStr;

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The all-zero id, which W3C Trace Context and OTLP call invalid: "no id".
            pub const INVALID: $name = $name([0; $len]);

            /// Whether any byte is set.
            pub fn is_valid(&self) -> bool {
                self.0 != [0; $len]
            }

            /// Reads exactly the right number of bytes; anything else is `None`.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            /// Reads hexadecimal digits of either case.
            fn from_str(s: &str) -> Result<Self, InvalidId> {
                let error = || InvalidId { expected_digits: $len * 2, found: s.len() };
                if s.len() != $len * 2 || !s.is_ascii() {
                    return Err(error());
                }
                let mut id = [0; $len];
                for (byte, pair) in id.iter_mut().zip(s.as_bytes().chunks_exact(2)) {
                    let digit = |b: u8| (b as char).to_digit(16);
                    let (Some(hi), Some(lo)) = (digit(pair[0]), digit(pair[1])) else {
                        return Err(error());
                    };
                    *byte = (hi * 16 + lo) as u8;
                }
                Ok(Self(id))
            }
        }
    };
}

hex_id!(
    /// A W3C trace id: 16 bytes, printed as 32 lower-case hexadecimal digits.
    TraceId,
    16
);
hex_id!(
    /// A W3C span id: 8 bytes, printed as 16 lower-case hexadecimal digits.
    SpanId,
    8
);

/// A text that is not the id it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected_digits} hexadecimal digits, found {found} characters")]
pub struct InvalidId {
    /// How many digits the id has.
    pub expected_digits: usize,
    /// How many bytes of text there were.
    pub found: usize,
}

/// Names a series everywhere without coordination: the 128-bit XXH3 hash of its sorted labels.
/// Collisions are checked where series are created, not assumed away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub u128);

/// Names a stored log record or span: time-ordered, unique, stable across flush and compaction.
///
/// The upper 64 bits are the event's time in nanoseconds (biased so that order is kept for times
/// before 1970), the lower 64 bits make it unique and follow the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub u128);

impl EventId {
    /// Builds an id from the event's time and a sequence number unique within the data folder.
    pub fn new(time: crate::Timestamp, sequence: u64) -> Self {
        let biased = (time.0 as u64) ^ (1 << 63);
        Self((u128::from(biased) << 64) | u128::from(sequence))
    }

    /// The event's time.
    pub fn time(self) -> crate::Timestamp {
        crate::Timestamp((((self.0 >> 64) as u64) ^ (1 << 63)) as i64)
    }

    /// The number that tells it from others of its time.
    pub fn sequence(self) -> u64 {
        self.0 as u64
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    #[test]
    fn ids_print_and_parse() {
        let text = "4bf92f3577b34da6a3ce929d0e0e4736";
        let id: TraceId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert!("4bf9".parse::<TraceId>().is_err());
        assert!("zz".repeat(16).parse::<TraceId>().is_err());
        assert!("é".repeat(16).parse::<TraceId>().is_err());
        assert!(!SpanId::INVALID.is_valid());
    }

    #[test]
    fn event_ids_sort_by_time_then_arrival() {
        let ids = [(-5, 9), (-5, 10), (0, 1), (7, 0)];
        let sorted: Vec<_> = ids.iter().map(|&(t, s)| EventId::new(Timestamp(t), s)).collect();
        assert!(sorted.is_sorted());
        assert_eq!((sorted[0].time(), sorted[0].sequence()), (Timestamp(-5), 9));
    }
}
