//! The severity table: which words of the label `severity` mean P1, P2 and P3.

use std::collections::BTreeMap;

use skopos_alerting::notify::Severity;

/// All severities, most urgent first.
pub(crate) const ALL: [Severity; 3] = [Severity::P1, Severity::P2, Severity::P3];

/// What each value of the label `severity` means; upper and lower case are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeverityTable(BTreeMap<String, Severity>);

impl SeverityTable {
    /// Reads entries such as `critical=P1`. The error names the entry.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut table = BTreeMap::new();
        for entry in entries {
            let wrong = || format!("{entry:?} is not WORD=P1, WORD=P2 or WORD=P3");
            let (word, class) = entry.split_once('=').ok_or_else(wrong)?;
            let class = ALL.into_iter().find(|severity| severity.as_str() == class.trim());
            let word = word.trim().to_lowercase();
            if word.is_empty() {
                return Err(wrong());
            }
            if table.insert(word.clone(), class.ok_or_else(wrong)?).is_some() {
                return Err(format!("{word:?} occurs twice"));
            }
        }
        Ok(Self(table))
    }

    /// What a value of the label means; none for a word that the table lacks.
    pub fn class(&self, severity: &str) -> Option<Severity> {
        self.0.get(&severity.to_lowercase()).copied()
    }

    /// The words that mean a class.
    pub fn words(&self, class: Severity) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(_, c)| **c == class).map(|(word, _)| word.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_and_checked() {
        let table = SeverityTable::parse(["Critical=P1", "page = P1", "info=P3"]).unwrap();
        assert_eq!(table.class("PAGE"), Some(Severity::P1));
        assert_eq!(table.class("urgent"), None);
        assert_eq!(table.words(Severity::P1).collect::<Vec<_>>(), ["critical", "page"]);
        for (entries, want) in [
            (vec!["critical"], "is not WORD=P1"),
            (vec!["critical=P4"], "is not WORD=P1"),
            (vec!["=P1"], "is not WORD=P1"),
            (vec!["a=P1", "a=P2"], "occurs twice"),
        ] {
            assert!(SeverityTable::parse(entries).unwrap_err().contains(want));
        }
    }
}
