//! Rules of one's own: dotted paths with `*` and `**`.
//!
//! A rule matches a path when it matches the whole of it or one of its ancestors. Letters are compared without case, `_` and
//! `-` do not count: `**.card_pin` covers `payment.cardPin`.

use crate::Error;

/// One parsed rule.
#[derive(Debug, Clone)]
pub(crate) struct PathRule {
    source: String,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// `**`: any number of segments, none included.
    AnyDepth,
    /// A name, its literal parts around each `*`; one part when there is no `*`.
    Glob(Vec<String>),
}

impl PathRule {
    pub(crate) fn parse(rule: &str) -> Result<PathRule, Error> {
        let mut segments = Vec::new();
        let mut offset = 0;
        for text in rule.split('.') {
            if text.is_empty() {
                return Err(Error::EmptySegment { rule: rule.to_owned() });
            }
            if text == "**" {
                segments.push(Segment::AnyDepth);
            } else if text.contains("**") {
                return Err(Error::PartialDoubleStar { rule: rule.to_owned() });
            } else {
                let unexpected = text.char_indices().find(|(_, character)| {
                    !(character.is_alphanumeric()
                        || matches!(character, '_' | '-' | '*' | '@' | '/' | ':' | '$'))
                });
                if let Some((index, character)) = unexpected {
                    return Err(Error::UnexpectedCharacter {
                        rule: rule.to_owned(),
                        character,
                        offset: offset + index,
                    });
                }
                segments.push(Segment::Glob(text.split('*').map(normalize).collect()));
            }
            offset += text.len() + 1;
        }
        let names_something = segments.iter().any(|segment| match segment {
            Segment::AnyDepth => false,
            Segment::Glob(parts) => parts.iter().any(|part| !part.is_empty()),
        });
        if !names_something {
            return Err(Error::MatchesEverything { rule: rule.to_owned() });
        }
        Ok(PathRule { source: rule.to_owned(), segments })
    }

    /// Returns the rule as it was written.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Returns the last name of the rule, if it is spelt out, as it was written.
    pub(crate) fn literal(&self) -> Option<&str> {
        let last = self.source.rsplit('.').find(|segment| *segment != "**")?;
        (!last.contains('*')).then_some(last)
    }

    pub(crate) fn matches(&self, path: &str) -> bool {
        let path: Vec<String> = path.split('.').map(normalize).collect();
        matches_from(&self.segments, &path)
    }
}

/// Lower case, without `_` and `-`.
fn normalize(segment: &str) -> String {
    segment
        .chars()
        .filter(|character| !matches!(character, '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Matches with one point of return, the last `**`: linear in practice, quadratic at worst.
fn matches_from(rule: &[Segment], path: &[String]) -> bool {
    let (mut at_rule, mut at_path) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match rule.get(at_rule) {
            // The rule is used up: it matched this path or an ancestor of it.
            None => return true,
            Some(Segment::AnyDepth) => {
                at_rule += 1;
                retry = Some((at_rule, at_path));
                continue;
            }
            Some(Segment::Glob(parts)) => {
                if path.get(at_path).is_some_and(|segment| matches_glob(parts, segment)) {
                    at_rule += 1;
                    at_path += 1;
                    continue;
                }
            }
        }
        match retry {
            Some((rule_start, path_start)) if path_start < path.len() => {
                at_rule = rule_start;
                at_path = path_start + 1;
                retry = Some((rule_start, path_start + 1));
            }
            _ => return false,
        }
    }
}

fn matches_glob(parts: &[String], segment: &str) -> bool {
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return false };
    if parts.len() == 1 {
        return segment == first;
    }
    if segment.is_empty() {
        return false;
    }
    let Some(rest) = segment.strip_prefix(first.as_str()) else { return false };
    let Some(mut rest) = rest.strip_suffix(last.as_str()) else { return false };
    for part in parts.iter().skip(1).take(parts.len() - 2) {
        match rest.find(part.as_str()) {
            Some(found) => rest = rest.get(found + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::PathRule;
    use crate::Error;

    #[test]
    fn rules_match_at_the_depth_they_say() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("pin", &["pin", "PIN", "pin.old"], &["account.pin", "pins", "spin"]),
            (
                "req.headers.x-sig",
                &["req.headers.x-sig", "req.headers.X_Sig"],
                &["req.headers", "headers.x-sig"],
            ),
            ("*.pin", &["a.pin", "b.pin.x"], &["pin", "a.b.pin"]),
            ("**.pin", &["pin", "a.pin", "a.b.c.d.e.pin"], &["pins", "a.pin2"]),
            ("a.**.z", &["a.z", "a.b.z", "a.b.z.c.z"], &["b.z", "a"]),
            ("**.*_otp", &["x.sms_otp", "smsOtp", "otp"], &["x.otp_count"]),
            ("**.my*id*x", &["my-id-x", "a.myGridBox"], &["my-x"]),
            ("*.*.*.*.leaf", &["a.b.c.d.leaf"], &["a.b.c.leaf"]),
        ];
        for (rule, hits, misses) in cases {
            let rule = PathRule::parse(rule).unwrap();
            for path in *hits {
                assert!(rule.matches(path), "{} must match {path}", rule.source());
            }
            for path in *misses {
                assert!(!rule.matches(path), "{} must not match {path}", rule.source());
            }
        }
    }

    #[test]
    fn a_rule_that_does_not_parse_is_an_error() {
        for rule in ["", ".", "a..b", "a.", ".a"] {
            assert!(matches!(PathRule::parse(rule), Err(Error::EmptySegment { .. })), "{rule}");
        }
        for rule in ["*", "**", "*.**"] {
            assert!(
                matches!(PathRule::parse(rule), Err(Error::MatchesEverything { .. })),
                "{rule}"
            );
        }
        assert!(matches!(PathRule::parse("a**.b"), Err(Error::PartialDoubleStar { .. })));
        assert_eq!(
            PathRule::parse("ab.c[0]").unwrap_err(),
            Error::UnexpectedCharacter { rule: "ab.c[0]".to_owned(), character: '[', offset: 4 }
        );
    }
}
