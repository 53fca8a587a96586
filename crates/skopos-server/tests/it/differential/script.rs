//! The file of questions, whose head says what its marks mean.

use std::fmt;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mark {
    None,
    /// The order of instant answers is defined.
    Ordered,
    /// The answers must differ, for this reason.
    Differs(String),
}

pub(super) struct Case {
    line: usize,
    pub(super) mark: Mark,
    pub(super) theirs: String,
    pub(super) ours: String,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "testdata/differential.txt:{}: {}", self.line, self.ours)
    }
}

pub(super) fn cases() -> Vec<Case> {
    let text = include_str!("../../../testdata/differential.txt");
    let lines = text.lines().enumerate().filter(|(_, l)| !l.is_empty() && !l.starts_with('#'));
    lines.map(|(i, line)| case(i + 1, line)).collect()
}

fn case(number: usize, line: &str) -> Case {
    let same = |mark, query: &str| Case {
        line: number,
        mark,
        theirs: query.trim().to_owned(),
        ours: query.trim().to_owned(),
    };
    if let Some(query) = line.strip_prefix("ordered:") {
        same(Mark::Ordered, query)
    } else if let Some(rest) = line.strip_prefix("differs (") {
        let (why, query) = rest.split_once("):").expect("`differs (why): query`");
        same(Mark::Differs(why.to_owned()), query)
    } else if let Some(rest) = line.strip_prefix("renamed:") {
        let (theirs, ours) = rest.split_once("=>").expect("`renamed: theirs => ours`");
        Case { theirs: theirs.trim().to_owned(), ..same(Mark::None, ours) }
    } else {
        same(Mark::None, line)
    }
}
