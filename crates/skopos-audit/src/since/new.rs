//! Which findings are new: those on lines that changed, and those that the tree of then had not.

use std::collections::HashMap;
use std::hash::Hash;

use super::Changed;
use crate::Finding;

/// Leaves what is new of today's findings, by those of then.
///
/// What points at a line is known by where that line stood then: whichever service it is said of, it is not new. An absence
/// is known by its fingerprint, that is by the folder of its service; where the folder of a service has become another, by
/// the line that shows the service. Each of then answers for one of now.
pub(crate) fn only_new(now: &mut Vec<Finding>, then: &[Finding], changed: &Changed) {
    let mut known = Known::of(then);
    let mut is_new: Vec<bool> = now.iter().map(|f| changed.has(&f.path, f.line)).collect();
    let mut rest: Vec<usize> = (0..now.len()).filter(|at| !is_new[*at]).collect();
    if changed.is_empty() {
        rest.clear();
    }
    let stood = |at: usize| {
        let finding = &now[at];
        let line = changed.was(&finding.path, finding.line).unwrap_or_default();
        (kind(finding), changed.path_then(&finding.path), line, finding.column)
    };
    let print = |at: usize| (kind(&now[at]), now[at].fingerprint.as_str());
    rest.retain(|at| now[*at].place.is_none() || !known.places.stand(&stood(*at), &mut known.used));
    rest.retain(|at| !known.prints.take(&print(*at), &mut known.used));
    rest.retain(|at| now[*at].place.is_some() || !known.places.take(&stood(*at), &mut known.used));
    for at in rest {
        is_new[at] = true;
    }
    let mut is_new = is_new.into_iter();
    now.retain(|_| is_new.next().unwrap_or(true));
}

/// What a finding says, whatever of: its rule, its verdict, whether it is an absence. What was mitigated then and is not
/// now is new.
type Saying<'f> = (&'f str, &'f str, bool);

fn kind(finding: &Finding) -> Saying<'_> {
    (finding.rule, finding.verdict, finding.place.is_none())
}

/// Findings of then.
struct Known<'f> {
    /// By what they say, path, line and column.
    places: Index<(Saying<'f>, &'f str, usize, usize)>,
    /// By what they say and fingerprint.
    prints: Index<(Saying<'f>, &'f str)>,
    /// Those that answered for one of now.
    used: Vec<bool>,
}

/// The numbers of findings, by what they are known by.
struct Index<K>(HashMap<K, Vec<usize>>);

impl<'f> Known<'f> {
    fn of(then: &'f [Finding]) -> Self {
        let place = |f: &'f Finding| (kind(f), f.path.as_str(), f.line, f.column);
        let print = |f: &'f Finding| (kind(f), f.fingerprint.as_str());
        Self {
            places: Index::of(then.iter().map(place)),
            prints: Index::of(then.iter().map(print)),
            used: vec![false; then.len()],
        }
    }
}

impl<K: Eq + Hash> Index<K> {
    fn of(keys: impl Iterator<Item = K>) -> Self {
        let mut index: HashMap<K, Vec<usize>> = HashMap::new();
        for (at, key) in keys.enumerate() {
            index.entry(key).or_default().push(at);
        }
        // They are taken from the end.
        index.values_mut().for_each(|all| all.reverse());
        Self(index)
    }

    /// Whether there was one; it answers for as many as ask.
    fn stand(&self, key: &K, used: &mut [bool]) -> bool {
        let all = self.0.get(key);
        all.into_iter().flatten().for_each(|at| used[*at] = true);
        all.is_some()
    }

    /// Takes one that answered for none yet.
    fn take(&mut self, key: &K, used: &mut [bool]) -> bool {
        let Some(all) = self.0.get_mut(key) else { return false };
        while let Some(at) = all.pop() {
            if !std::mem::replace(&mut used[at], true) {
                return true;
            }
        }
        false
    }
}
