//! Which form the lines take, and whether they are coloured: pure functions of what the process finds.

use std::ffi::OsStr;

use crate::config::LogFormat;

/// Chooses the form: what was asked for, else JSON in production and wherever no person looks on, else pretty.
pub(crate) fn choose(
    asked: Option<LogFormat>,
    is_terminal: bool,
    is_production: bool,
) -> LogFormat {
    asked.unwrap_or(if is_terminal && !is_production { LogFormat::Pretty } else { LogFormat::Json })
}

/// Returns whether pretty lines are coloured: at a terminal, unless `NO_COLOR` is set to anything but nothing.
pub(crate) fn is_coloured(is_terminal: bool, no_color: Option<&OsStr>) -> bool {
    is_terminal && no_color.is_none_or(OsStr::is_empty)
}

#[cfg(test)]
mod tests {
    use super::{choose, is_coloured};
    use crate::config::LogFormat::{Json, Pretty};

    #[test]
    fn json_in_production_pretty_at_a_terminal_and_an_override_wins() {
        // asked for, at a terminal, in production
        for (asked, is_terminal, is_production, expected) in [
            (None, true, false, Pretty),
            (None, true, true, Json),
            (None, false, false, Json),
            (None, false, true, Json),
            (Some(Json), true, false, Json),
            (Some(Json), false, true, Json),
            (Some(Pretty), true, true, Pretty),
            (Some(Pretty), false, false, Pretty),
            (Some(Pretty), false, true, Pretty),
        ] {
            let chosen = choose(asked, is_terminal, is_production);
            assert_eq!(chosen, expected, "{asked:?} {is_terminal} {is_production}");
        }
    }

    #[test]
    fn colour_is_for_terminals_that_did_not_refuse_it() {
        for (is_terminal, no_color, expected) in [
            (true, None, true),
            (true, Some(""), true),
            (true, Some("1"), false),
            (false, None, false),
            (false, Some("1"), false),
        ] {
            let no_color = no_color.map(std::ffi::OsStr::new);
            assert_eq!(is_coloured(is_terminal, no_color), expected, "{is_terminal} {no_color:?}");
        }
    }
}
