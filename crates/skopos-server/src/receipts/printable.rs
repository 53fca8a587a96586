//! Names that senders choose, made fit for terminals and pages.

use std::borrow::Cow;

/// Text as it may stand in a terminal or a page: control characters and marks that turn the
/// direction of writing or do not show become `\u{…}`. Senders choose their names.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_deceptive) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_deceptive(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use skopos::metrics::{Format, Registry};
    use skopos_model::Rejection;

    use super::*;
    use crate::receipts::{Receipts, Signal, Transport};

    #[test]
    fn names_cannot_steer_a_terminal() {
        for (name, want) in [
            ("checkout", "checkout"),
            ("käse 漢 🦀", "käse 漢 🦀"),
            ("a\u{1b}[31mb\n", "a\\u{1b}[31mb\\u{a}"),
            ("x\u{202e}y\u{2066}z", "x\\u{202e}y\\u{2066}z"),
            ("\u{9b}2J\u{feff}", "\\u{9b}2J\\u{feff}"),
        ] {
            let registry = Registry::new();
            let receipts = Receipts::new(&registry);
            receipts.accept(Signal::Logs, name, 1);
            receipts.redact(name, name, 1);
            receipts.refuse(Transport::OtlpHttp, name, "x");
            receipts.reject(Signal::Logs, &Rejection::one("far_future", name, "late"));
            let snapshot = receipts.snapshot();
            assert_eq!(snapshot.keys().collect::<Vec<_>>(), [want]);
            assert!(snapshot[want].redacted.contains_key(want));
            let page = registry.encode(Format::Prometheus);
            assert!(page.chars().all(|c| c == '\n' || !is_deceptive(c)), "{page:?}");
        }
    }
}
