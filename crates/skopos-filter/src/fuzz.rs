//! The fuzz target, a plain function that stable Rust can drive. It panics when a promise breaks.

use crate::complete::{NoData, Request, complete};
use crate::{Filter, limits};

/// Any text is a filter or is refused with a place within it. What is a filter prints in a form
/// that is the same filter and prints so again. Completion answers everywhere.
pub fn fuzz_filter(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Filter::parse(text) {
        Ok(filter) => {
            let printed = filter.to_string();
            // Quotes and keywords make the normal form longer than what was written.
            if printed.len() <= limits::LENGTH {
                let again = Filter::parse(&printed)
                    .unwrap_or_else(|e| panic!("{text:?} prints as {printed:?}, which fails: {e}"));
                assert_eq!(filter.ast(), again.ast(), "{text:?} prints as {printed:?}");
                assert_eq!(printed, again.to_string());
            }
        }
        Err(error) => {
            assert!(error.span.start <= error.span.end, "{error:?} of {text:?}");
            assert!(error.span.end <= text.len() + 1, "{error:?} of {text:?}");
            assert!(!error.snippet(text).is_empty() && !error.to_string().is_empty());
        }
    }
    if text.len() < 200 {
        for cursor in 0..=text.len() {
            let answer = complete(&Request { text, cursor, signal: None }, &NoData);
            assert!(answer.replace.start <= answer.replace.end);
            assert!(answer.replace.end <= text.len());
            assert!(text.is_char_boundary(answer.replace.start));
            assert!(text.is_char_boundary(answer.replace.end));
        }
    }
}
