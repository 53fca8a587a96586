//! What changes, as a unified diff.

use std::fmt::Write as _;

/// Lines of context.
const AROUND: usize = 3;

/// Two texts as a unified diff of one file. The parts between the first and the last line that differ are compared line by
/// line where they have as many lines, and replaced as a whole where not.
pub fn unified(path: &str, before: &str, after: &str) -> String {
    let old: Vec<&str> = before.split_inclusive('\n').collect();
    let new: Vec<&str> = after.split_inclusive('\n').collect();
    let changes = changes(&old, &new);
    let mut out = format!("--- a/{path}\n+++ b/{path}\n");
    let mut at = 0;
    while at < changes.len() {
        let mut last = at;
        while last + 1 < changes.len()
            && changes[last + 1].0 <= changes[last].0 + changes[last].1 + 2 * AROUND
        {
            last += 1;
        }
        hunk(&old, &new, &changes[at..=last], &mut out);
        at = last + 1;
    }
    out
}

/// (first old line, how many, first new line, how many).
type Change = (usize, usize, usize, usize);

/// Greedy: the next line that both have ends a change. Fixes change few lines, far apart.
fn changes(old: &[&str], new: &[&str]) -> Vec<Change> {
    let (mut changes, mut i, mut j) = (Vec::new(), 0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
            continue;
        }
        // The nearest pair of equal lines, counted in lines passed over.
        let most = (old.len() - i) + (new.len() - j);
        let meet = (1..=most.min(400)).find_map(|sum| {
            (0..=sum)
                .map(|a| (i + a, j + sum - a))
                .find(|(a, b)| *a < old.len() && *b < new.len() && old[*a] == new[*b])
        });
        let (a, b) = meet.unwrap_or((old.len(), new.len()));
        changes.push((i, a - i, j, b - j));
        (i, j) = (a, b);
    }
    changes
}

fn hunk(old: &[&str], new: &[&str], changes: &[Change], out: &mut String) {
    let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return };
    let start = first.0.saturating_sub(AROUND);
    let end = (last.0 + last.1 + AROUND).min(old.len());
    let new_start = first.2 - (first.0 - start);
    let grown: isize = changes.iter().map(|c| c.3 as isize - c.1 as isize).sum();
    let count = end - start;
    let new_count = count.saturating_add_signed(grown);
    let _ = writeln!(out, "@@ -{},{count} +{},{new_count} @@", start + 1, new_start + 1);
    let mut line = |sign: char, text: &str| {
        let _ = write!(out, "{sign}{text}");
        if !text.ends_with('\n') {
            let _ = write!(out, "\n\\ No newline at end of file\n");
        }
    };
    let mut at = start;
    for (from, removed, to, added) in changes {
        old[at..*from].iter().for_each(|text| line(' ', text));
        old[*from..from + removed].iter().for_each(|text| line('-', text));
        new[*to..to + added].iter().for_each(|text| line('+', text));
        at = from + removed;
    }
    old[at..end].iter().for_each(|text| line(' ', text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_has_its_lines_around_it() {
        let before: String = (1..=20).map(|n| format!("{n}\n")).collect();
        let after = before.replace("5\n6\n", "5\nnew\n6\n").replace("18\n", "eighteen\n");
        let expected = "--- a/x\n+++ b/x\n@@ -3,6 +3,7 @@\n 3\n 4\n 5\n+new\n 6\n 7\n 8\n\
                        @@ -15,6 +16,6 @@\n 15\n 16\n 17\n-18\n+eighteen\n 19\n 20\n";
        assert_eq!(unified("x", &before, &after), expected);
        let torn = "--- a/x\n+++ b/x\n@@ -1,1 +1,1 @@\n-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file\n";
        assert_eq!(unified("x", "a", "b"), torn);
    }
}
