//! A baseline: findings that are known and accepted for now, so that only new ones fail.
//!
//! A finding is known by its fingerprint: rule, folder of the service, file and the line's text, never its number. Absences
//! are known by rule and folder. Where the folder of a service has become another (a second program beside the first makes
//! each a unit of its own) they are known by where they stand. Each entry holds back as many findings as it counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Finding, Report, Suppressed};

/// Version of the file's form.
const VERSION: u32 = 1;

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    version: u32,
    /// Known findings, in order.
    findings: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Entry {
    fingerprint: String,
    /// [`Finding::place_print`]; older files have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    rule: String,
    path: String,
    /// The folder of the service: its name may be that of the folder a clone lies in. Older files have the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    /// For people.
    message: String,
    count: usize,
}

impl Baseline {
    /// Of what a report finds now, what comments hold back left out.
    pub fn of(report: &Report) -> Self {
        let mut entries: BTreeMap<&str, Entry> = BTreeMap::new();
        let known = report.suppressed.iter().filter(|s| s.by == "baseline").map(|s| &s.finding);
        let folders: BTreeMap<&str, &str> =
            report.services.iter().map(|s| (s.name.as_str(), s.path.as_str())).collect();
        for finding in report.failures().chain(known) {
            let folder = finding.service.as_deref().and_then(|name| folders.get(name));
            let entry = entries.entry(&finding.fingerprint).or_insert_with(|| Entry {
                fingerprint: finding.fingerprint.clone(),
                place: Some(finding.place_print()),
                rule: finding.rule.to_owned(),
                path: finding.path.clone(),
                service: folder.map(|folder| (*folder).to_owned()),
                message: finding.message.clone(),
                count: 0,
            });
            entry.count += 1;
        }
        let mut findings: Vec<Entry> = entries.into_values().collect();
        findings.sort_by(|a, b| {
            (&a.path, &a.rule, &a.fingerprint).cmp(&(&b.path, &b.rule, &b.fingerprint))
        });
        Self { version: VERSION, findings }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let baseline: Self =
            serde_json::from_str(text).map_err(|error| format!("not a baseline: {error}"))?;
        if baseline.version != VERSION {
            return Err(format!(
                "version {} of the baseline, not {VERSION}: write it again",
                baseline.version
            ));
        }
        Ok(baseline)
    }

    /// The file's text.
    pub fn render(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Moves what is known from the findings to what is held back.
    pub fn apply(&self, report: &mut Report) {
        let mut left: Vec<usize> = self.findings.iter().map(|entry| entry.count).collect();
        let (mut prints, mut places) = (BTreeMap::new(), BTreeMap::new());
        for (at, entry) in self.findings.iter().enumerate() {
            prints.entry(&*entry.fingerprint).or_insert_with(Vec::new).push(at);
            if let Some(place) = &entry.place {
                places.entry(&**place).or_insert_with(Vec::new).push(at);
            }
        }
        let mut take = |entries: Option<&Vec<usize>>| {
            let at = entries.into_iter().flatten().find(|at| left[**at] > 0);
            at.map(|at| left[*at] -= 1).is_some()
        };
        let fails = |finding: &Finding| finding.verdict == "finding";
        let all = report.findings.iter();
        let mut is_known: Vec<bool> =
            all.map(|f| fails(f) && take(prints.get(f.fingerprint.as_str()))).collect();
        // What no fingerprint holds back has the entries that are left.
        for (is_known, finding) in is_known.iter_mut().zip(&report.findings) {
            if !*is_known && fails(finding) && !places.is_empty() {
                *is_known = take(places.get(finding.place_print().as_str()));
            }
        }
        let mut is_known = is_known.into_iter();
        let (known, new): (Vec<_>, Vec<_>) = std::mem::take(&mut report.findings)
            .into_iter()
            .partition(|_| is_known.next() == Some(true));
        report.findings = new;
        report.suppressed.extend(known.into_iter().map(|finding| Suppressed {
            finding,
            by: "baseline",
            reason: None,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, MemoryTree, audit};

    fn report(text: &str) -> Report {
        let config = Config { select: vec!["LOG002".into()], ..Config::default() };
        audit(&MemoryTree::of([("app.py", text)]), &config)
    }

    #[test]
    fn what_is_known_is_held_back_wherever_its_line_goes() {
        let app = "from fastapi import FastAPI\napp = FastAPI()\ndef f():\n    print('a')\n    print('a')\n";
        let baseline = Baseline::parse(&Baseline::of(&report(app)).render()).unwrap();
        let moved = app.replace("def f", "\n\n\ndef f") + "    print('new')\n    print('a')\n";
        let mut now = report(&moved);
        baseline.apply(&mut now);
        let new: Vec<usize> = now.failures().map(|f| f.line).collect();
        assert_eq!(now.suppressed.len(), 2);
        assert_eq!(new, [9, 10], "one more of the same is new too");
        assert!(Baseline::parse("{\"version\": 9, \"findings\": []}").is_err());
    }
    #[test]
    fn what_is_known_stays_known_when_a_program_becomes_two() {
        let app = "from fastapi import FastAPI\napp = FastAPI()\ndef f():\n    print('a')\n";
        let report = |apps: &[&str]| {
            let apps = apps.iter().map(|path| (*path, app));
            audit(
                &MemoryTree::of(apps.chain([("requirements.txt", "fastapi\n")])),
                &Config::default(),
            )
        };
        let before = report(&["api/app.py"]);
        let baseline = Baseline::parse(&Baseline::of(&before).render()).unwrap();
        let mut now = report(&["api/app.py", "web/app.py"]);
        assert!(now.services.iter().any(|service| service.path == "api"), "another folder");
        baseline.apply(&mut now);
        assert_eq!(now.suppressed.len(), before.failures().count());
        assert!(now.failures().count() > 0 && now.failures().all(|f| f.path == "web/app.py"));
        // And those of a third are as new.
        let third = report(&["api/app.py", "web/app.py", "x/app.py"]);
        let mut rest = third.clone();
        Baseline::of(&report(&["api/app.py", "web/app.py"])).apply(&mut rest);
        assert!(rest.failures().count() > 0 && rest.failures().all(|f| f.path == "x/app.py"));

        // A file of before there were places.
        let mut old = baseline;
        old.findings.iter_mut().for_each(|entry| entry.place = None);
        assert!(!old.render().contains("\"place\""));
        let mut same = before.clone();
        Baseline::parse(&old.render()).unwrap().apply(&mut same);
        assert_eq!(same.failures().count(), 0);
    }
}
