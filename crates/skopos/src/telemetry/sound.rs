//! Values that can be shown, told from those that cannot.
//!
//! A `Display` or `Debug` may fail; `format!` answers that with a panic, and `tracing-opentelemetry` uses `format!`, for a new
//! span even with a lock in its hand. And it follows the causes of an error to their end, of which there may be none. A value that
//! cannot be shown costs its span or event an attribute, never the host its request: so values are tried before that layer sees
//! them. Only texts are, in the form that it asks for: numbers and strings cannot fail.

use std::error::Error;
use std::fmt::{self, Write as _};

use tracing::Event;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Record};

/// An error and its causes, at most: with more, one of them may be its own cause.
const MOST_CAUSES: usize = 32;

/// Tries every value that is visited.
struct Trial {
    is_sound: bool,
}

/// Takes any text.
struct Nowhere;

impl fmt::Write for Nowhere {
    fn write_str(&mut self, _: &str) -> fmt::Result {
        Ok(())
    }
}

impl Visit for Trial {
    fn record_i64(&mut self, _: &Field, _: i64) {}
    fn record_u64(&mut self, _: &Field, _: u64) {}
    fn record_i128(&mut self, _: &Field, _: i128) {}
    fn record_u128(&mut self, _: &Field, _: u128) {}
    fn record_f64(&mut self, _: &Field, _: f64) {}
    fn record_bool(&mut self, _: &Field, _: bool) {}
    fn record_str(&mut self, _: &Field, _: &str) {}
    fn record_bytes(&mut self, _: &Field, _: &[u8]) {}

    fn record_error(&mut self, _: &Field, error: &(dyn Error + 'static)) {
        let mut next = Some(error);
        for _ in 0..MOST_CAUSES {
            let Some(cause) = next else { return };
            self.is_sound &= write!(Nowhere, "{cause}").is_ok();
            next = cause.source();
        }
        self.is_sound &= next.is_none();
    }

    fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
        self.is_sound &= write!(Nowhere, "{value:?}").is_ok();
    }
}

fn is_sound(visit: impl FnOnce(&mut Trial)) -> bool {
    let mut trial = Trial { is_sound: true };
    visit(&mut trial);
    trial.is_sound
}

/// Whether all values of an event can be shown.
pub(super) fn is_event(event: &Event<'_>) -> bool {
    is_sound(|trial| event.record(trial))
}

/// Whether all values of a new span can be shown.
pub(super) fn is_span(attributes: &Attributes<'_>) -> bool {
    is_sound(|trial| attributes.record(trial))
}

/// Whether all values that a span gets later can be shown.
pub(super) fn is_record(values: &Record<'_>) -> bool {
    is_sound(|trial| values.record(trial))
}

/// The same new span without any attribute.
pub(super) fn with_bare<R>(
    attributes: &Attributes<'_>,
    use_it: impl FnOnce(&Attributes<'_>) -> R,
) -> R {
    let metadata = attributes.metadata();
    let none: [(&Field, Option<&dyn tracing::field::Value>); 0] = [];
    let values = metadata.fields().value_set(&none);
    let bare = match attributes.parent() {
        Some(parent) => Attributes::child_of(parent.clone(), metadata, &values),
        None if attributes.is_root() => Attributes::new_root(metadata, &values),
        None => Attributes::new(metadata, &values),
    };
    use_it(&bare)
}
