//! Words of a filter that parse and are hardly meant.
//!
//! A bare word that is no level is a target, of which everything is logged, and of all others nothing: `RUST_LOG=dbug` makes a
//! service silent. Only words that look like a slip are doubted; `RUST_LOG=my_crate` is somebody's wish.

/// What a bare word can be, other than a target.
const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace", "off"];
/// What others call their levels.
const FOREIGN: &[&str] = &["warning", "verbose", "fatal", "critical", "none", "all"];

/// Returns a warning about the first word that is neither a level nor, by its looks, a target.
pub(crate) fn doubt(filter: &str) -> Option<String> {
    let word = filter.split(',').map(str::trim).find(|directive| is_doubtful(directive))?;
    let levels = LEVELS.join(", ");
    Some(format!(
        "RUST_LOG: `{word}` is no level ({levels}) but a target, and by itself turns all others off"
    ))
}

fn is_doubtful(directive: &str) -> bool {
    let is_bare = !directive.is_empty() && !directive.contains(['=', '[']);
    let word = directive.to_ascii_lowercase();
    if !is_bare || LEVELS.contains(&word.as_str()) {
        return false;
    }
    let is_of_target = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':' | '.');
    !word.chars().all(is_of_target)
        || FOREIGN.contains(&word.as_str())
        || LEVELS.iter().any(|level| is_one_slip_apart(&word, level))
}

/// Whether one letter was left out, added, exchanged for another one or for its neighbour.
fn is_one_slip_apart(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let same = left.iter().zip(right).take_while(|(a, b)| a == b).count();
    let rest = |bytes: &[u8]| bytes.get(same..).unwrap_or_default().to_vec();
    match (rest(left).as_slice(), rest(right).as_slice()) {
        ([_, rest @ ..], other) | (other, [_, rest @ ..]) if rest == other => true,
        ([_, left @ ..], [_, right @ ..]) if left == right => true,
        ([a, b, left @ ..], [c, d, right @ ..]) => (a, b) == (d, c) && left == right,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::doubt;

    #[test]
    fn slips_are_doubted_and_targets_are_not() {
        for slip in [
            "dbug",
            "inof",
            "warning",
            "WARNING",
            "info;debug",
            "nonsense nonsense",
            "debugg",
            "trce",
            "shop=debug,inf",
            "errro",
        ] {
            assert!(doubt(slip).is_some(), "{slip}");
        }
        for meant in [
            "",
            "info",
            "INFO",
            "off",
            "info,shop::cart=debug",
            "my_crate",
            "shop",
            "hyper=banana",
            "data",
            "shop[span{field=1}]=debug",
            "web,api",
            "warn,shop=info",
        ] {
            assert_eq!(doubt(meant), None, "{meant}");
        }
    }
}
