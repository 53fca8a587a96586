//! The replacement of `label_replace`, as Go's `Regexp.Expand` reads it: `$1`, `$name`, `${name}`,
//! `$$`. A `$` that begins none of them stands for itself; a group that is not there is empty.

use regex::{Captures, Regex};

/// A replacement cut into pieces.
pub(super) struct Replacement<'t> {
    pieces: Vec<Piece<'t>>,
}

enum Piece<'t> {
    Text(&'t str),
    /// The first of these groups that took part in the match. Only a name can mean several.
    Groups(Vec<usize>),
}

impl<'t> Replacement<'t> {
    pub(super) fn new(text: &'t str, regex: &Regex) -> Self {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            pieces.push(Piece::Text(&rest[..at]));
            let after = &rest[at + 1..];
            if let Some(after) = after.strip_prefix('$') {
                pieces.push(Piece::Text("$"));
                rest = after;
            } else if let Some((name, after)) = name(after) {
                pieces.push(Piece::Groups(groups(name, regex)));
                rest = after;
            } else {
                pieces.push(Piece::Text("$"));
                rest = after;
            }
        }
        pieces.push(Piece::Text(rest));
        pieces.retain(|piece| !matches!(piece, Piece::Text("")));
        Self { pieces }
    }

    /// Bytes that [`Replacement::expand`] will make.
    pub(super) fn expanded_bytes(&self, captures: &Captures<'_>) -> usize {
        self.texts(captures).fold(0, |bytes, text| bytes.saturating_add(text.len()))
    }

    pub(super) fn expand(&self, captures: &Captures<'_>) -> String {
        self.texts(captures).collect()
    }

    fn texts<'a>(&'a self, captures: &'a Captures<'_>) -> impl Iterator<Item = &'a str> {
        self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => *text,
            Piece::Groups(groups) => {
                groups.iter().find_map(|i| captures.get(*i)).map_or("", |found| found.as_str())
            }
        })
    }
}

/// The name after a `$`, and what follows it.
fn name(text: &str) -> Option<(&str, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (text, braced) = match text.strip_prefix('{') {
        Some(text) => (text, true),
        None => (text, false),
    };
    let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let rest = if braced { rest.strip_prefix('}')? } else { rest };
    (!name.is_empty()).then_some((name, rest))
}

fn groups(name: &str, regex: &Regex) -> Vec<usize> {
    if name.bytes().all(|b| b.is_ascii_digit()) && (name == "0" || !name.starts_with('0')) {
        return name.parse().ok().filter(|i| *i < regex.captures_len()).into_iter().collect();
    }
    let named = regex.capture_names().enumerate();
    named.filter(|(_, group)| *group == Some(name)).map(|(i, _)| i).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_as_go_does() {
        let regex = Regex::new("^(?s:(a+)(?P<rest>.*)(x)?)$").unwrap();
        let captures = regex.captures("aab-c").unwrap();
        for (text, want) in [
            ("$1", "aa"),
            ("$1$1-${2}", "aaaa-b-c"),
            ("${1}x$1x", "aax"),
            ("$rest|${rest}", "b-c|b-c"),
            ("$0", "aab-c"),
            ("$3$9$01$nope.", "."),
            ("$$1 $ ${ ${1 $-", "$1 $ ${ ${1 $-"),
            ("${a-b}", "${a-b}"),
            ("", ""),
            ("é$1é", "é"),
        ] {
            let replacement = Replacement::new(text, &regex);
            let got = replacement.expand(&captures);
            assert_eq!(got, want, "{text}");
            assert_eq!(replacement.expanded_bytes(&captures), got.len(), "{text}");
        }
    }
}
