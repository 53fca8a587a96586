//! Shell patterns over one name: `*`, `?`, `[a-z]`, `[^a-z]`, and `\` before a character that is to
//! mean itself. Nothing matches a `/` specially; who matches paths does so part by part.

/// Whether `text` matches `pattern` as a whole. An unclosed `[` matches nothing.
pub fn glob_matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows a `*` fails: one character later.
    let mut again: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&'*') {
            again = Some((p + 1, t));
            p += 1;
            continue;
        }
        match one(&pattern[p..], text[t]) {
            Some(length) => (p, t) = (p + length, t + 1),
            None => match &mut again {
                Some((after_star, from)) => {
                    *from += 1;
                    (p, t) = (*after_star, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Whether the pattern's first piece matches `c`; its length when it does.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['\\', literal, ..] => (*literal == c).then_some(2),
        ['[', rest @ ..] => {
            let (negated, mut at) = match rest {
                ['^', ..] => (true, 1),
                _ => (false, 0),
            };
            let first = at;
            let mut found = false;
            loop {
                match rest.get(at..)? {
                    [']', ..] if at > first => break,
                    [low, '-', high, ..] if *high != ']' => {
                        found |= (*low..=*high).contains(&c);
                        at += 3;
                    }
                    [single, ..] => {
                        found |= *single == c;
                        at += 1;
                    }
                    [] => return None,
                }
            }
            (found != negated).then_some(at + 2)
        }
        [literal, ..] => (*literal == c).then_some(1),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, text, want) in [
            ("*", "", true),
            ("*", "anything", true),
            ("High*", "HighErrorRate", true),
            ("High*", "VeryHigh", false),
            ("*Rate", "HighErrorRate", true),
            ("*Err*Rate", "HighErrorErrRate", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[]x]", "]", true),
            ("[a", "a", false),
            (r"\*", "*", true),
            (r"\*", "x", false),
            ("é?", "éü", true),
            ("", "", true),
            ("", "x", false),
            ("*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(glob_matches(pattern, text), want, "{pattern} {text}");
        }
    }
}
