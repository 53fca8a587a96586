//! What git's comparisons say: which lines of a file are new, and where the others stood.

use std::collections::BTreeMap;

use super::Kind;

/// The changes of a file, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Edits(Vec<Edit>);

/// Lines that came, or went, at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Edit {
    /// The line, of now, that it begins with.
    at: usize,
    added: usize,
    removed: usize,
    /// How many lines went and came up to here.
    gone: usize,
    come: usize,
}

impl Edits {
    /// Where a line stood before; none when it is new.
    pub(super) fn was(&self, line: usize) -> Option<usize> {
        let above = self.0.partition_point(|edit| edit.at <= line);
        let Some(last) = above.checked_sub(1).and_then(|at| self.0.get(at)) else {
            return Some(line);
        };
        let is_new = line - last.at < last.added;
        (!is_new).then(|| line.saturating_add(last.gone).saturating_sub(last.come))
    }

    /// The change that goes on at a line.
    fn at(&mut self, line: usize) -> &mut Edit {
        let last = self.0.last();
        if last.is_none_or(|edit| edit.at + edit.added != line) {
            let (gone, come) = last.map_or((0, 0), |edit| (edit.gone, edit.come));
            self.0.push(Edit { at: line, added: 0, removed: 0, gone, come });
        }
        let end = self.0.len() - 1;
        &mut self.0[end]
    }

    fn add(&mut self, line: usize) {
        let edit = self.at(line);
        edit.added += 1;
        edit.come += 1;
    }

    fn remove(&mut self, line: usize) {
        let edit = self.at(line);
        edit.removed += 1;
        edit.gone += 1;
    }
}

/// Reads a diff, by path. It may have lines of context: which of a hunk's are new, their signs say.
pub(super) fn edits(diff: &str) -> BTreeMap<String, Edits> {
    let mut changed: BTreeMap<String, Edits> = BTreeMap::new();
    let mut path: Option<String> = None;
    let mut lines = diff.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("+++ ") {
            path = unquoted(name).strip_prefix("b/").map(str::to_owned);
        } else if let Some(hunk) = line.strip_prefix("@@ ") {
            let side = |sign: char| {
                let part = hunk.split(' ').find_map(|part| part.strip_prefix(sign))?;
                let (start, count) = part.split_once(',').unwrap_or((part, "1"));
                Some((start.parse::<usize>().ok()?, count.parse::<usize>().ok()?))
            };
            let (Some((_, mut old)), Some((start, mut new))) = (side('-'), side('+')) else {
                continue;
            };
            // Of no lines, the one above is named.
            let mut at = if new == 0 { start.saturating_add(1) } else { start };
            let mut own = path.as_ref().map(|path| changed.entry(path.clone()).or_default());
            // The lines themselves may look like anything, a head of a diff among it: they are counted.
            while old > 0 || new > 0 {
                let Some(line) = lines.next() else { break };
                match line.as_bytes().first() {
                    Some(b'+') => {
                        own.iter_mut().for_each(|edits| edits.add(at));
                        new = new.saturating_sub(1);
                        at = at.saturating_add(1);
                    }
                    Some(b'-') => {
                        own.iter_mut().for_each(|edits| edits.remove(at));
                        old = old.saturating_sub(1);
                    }
                    Some(b'\\') => {}
                    _ => {
                        (old, new) = (old.saturating_sub(1), new.saturating_sub(1));
                        at = at.saturating_add(1);
                    }
                }
            }
        }
    }
    changed
}

/// Reads `--name-status -z`: a letter, a path, each closed by a zero; of what was renamed a letter with a number behind, and
/// the path of then before that of now. Gives path, kind, path of then.
pub(super) fn kinds(listed: &str) -> Vec<(&str, Kind, Option<&str>)> {
    let mut parts = listed.split_terminator('\0');
    let mut files = Vec::new();
    while let (Some(letter), Some(path)) = (parts.next(), parts.next()) {
        if letter.starts_with('R') {
            let Some(now) = parts.next() else { break };
            files.push((now, Kind::Renamed, Some(path)));
            continue;
        }
        let kind = match letter {
            "A" => Kind::Added,
            "D" => Kind::Deleted,
            _ => Kind::Modified,
        };
        files.push((path, kind, None));
    }
    files
}

/// Folders of other repositories in what `ls-files --stage -z` or `ls-tree -z` lists (`MODE … \t PATH`, the commit among the
/// middle words), each with its commit.
pub(super) fn links(listed: &str) -> BTreeMap<&str, &str> {
    let link = |line| -> Option<(&str, &str)> {
        let (head, path) = str::split_once(line, '\t')?;
        let commit = head.strip_prefix("160000 ")?.trim_start_matches("commit ");
        Some((path, commit.split(' ').next()?))
    };
    listed.split_terminator('\0').filter_map(link).collect()
}

/// A name as git writes it: behind a name with a space stands a tab, and what a terminal could not show is escaped.
fn unquoted(name: &str) -> String {
    let Some(inner) = name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return name.trim_end_matches('\t').to_owned();
    };
    let (mut out, mut rest) = (Vec::new(), inner.bytes());
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match rest.next() {
            Some(b'a') => 7,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'v') => 11,
            Some(digit @ b'0'..=b'3') => {
                let mut octal = || rest.next().unwrap_or(b'0') & 7;
                ((digit & 7) << 6) | (octal() << 3) | octal()
            }
            Some(other) => other,
            None => break,
        });
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of the first lines are new, and where the others were.
    fn was(edits: &Edits, lines: usize) -> Vec<Option<usize>> {
        (1..=lines).map(|line| edits.was(line)).collect()
    }

    #[test]
    fn a_diff_says_which_lines_are_new_and_where_the_others_were() {
        let diff = "--- a/app.py\n+++ b/app.py\n@@ -1 +1,2 @@\n-x\n+y\n+z\n@@ -9,2 +10,0 @@\n-a\n-b\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n";
        let changed = edits(diff);
        assert_eq!(changed.len(), 1);
        let app = &changed["app.py"];
        assert_eq!(was(app, 4), [None, None, Some(2), Some(3)]);
        assert_eq!((app.was(10), app.was(11)), (Some(9), Some(12)));
        assert_eq!(was(&Edits::default(), 2), [Some(1), Some(2)]);

        // Lines that look like a head; names that git puts in quotes, or a tab behind.
        let diff = "--- a/app.py\n+++ b/app.py\n@@ -1 +1 @@\n--- a/x\n+++ b/other.py\n\\ No newline at end of file\n@@ -5,0 +6 @@\n+@@ -1 +1 @@\n+++ \"b/a\\\"\\303\\274.py\"\n@@ -0,0 +1 @@\n+x\n+++ b/a b.py\t\n@@ -0,0 +1,2 @@\n+x\n+y\n";
        let changed = edits(diff);
        let names: Vec<&str> = changed.keys().map(String::as_str).collect();
        assert_eq!(names, ["a b.py", "a\"ü.py", "app.py"]);
        assert_eq!(was(&changed["a b.py"], 3), [None, None, Some(1)]);
        assert_eq!(was(&changed["a\"ü.py"], 2), [None, Some(1)]);
        let app = [None, Some(2), Some(3), Some(4), Some(5), None, Some(6)];
        assert_eq!(was(&changed["app.py"], 7), app);
    }

    #[test]
    fn lines_of_context_are_not_new_and_swallow_no_head() {
        let diff = "--- a/a.py\n+++ b/a.py\n@@ -1,5 +1,6 @@\n one\n+new\n two\n-three\n+drei\n\n five\n--- a/b.py\n+++ b/b.py\n@@ -1,2 +1,3 @@\n a\n+b\n c\n";
        let changed = edits(diff);
        let of_a = [Some(1), None, Some(2), None, Some(4), Some(5), Some(6)];
        assert_eq!(was(&changed["a.py"], 7), of_a);
        assert_eq!(was(&changed["b.py"], 4), [Some(1), None, Some(2), Some(3)]);
    }

    #[test]
    fn folders_of_other_repositories_are_told_from_files() {
        let stage = "100644 1f25 0\tapp.py\u{0}160000 e3a6 0\tvendored/shop\u{0}";
        assert_eq!(links(stage), BTreeMap::from([("vendored/shop", "e3a6")]));
        let tree = "160000 commit e3a6\tshop\u{0}040000 tree 77aa\told\u{0}";
        assert_eq!(links(tree), BTreeMap::from([("shop", "e3a6")]));
    }

    #[test]
    fn what_was_renamed_has_two_paths() {
        let listed = "M\0a.py\0R087\0old b.py\0b.py\0D\0c.py\0A\0d.py\0R100\0cut";
        let expected = [
            ("a.py", Kind::Modified, None),
            ("b.py", Kind::Renamed, Some("old b.py")),
            ("c.py", Kind::Deleted, None),
            ("d.py", Kind::Added, None),
        ];
        assert_eq!(kinds(listed), expected);
    }
}
