//! The judges, and the table that binds them to their pages.

mod alert;
mod alert_code;
mod collector;
pub(crate) mod deployed;
mod given;
mod hlt;
mod labels;
mod lifecycle;
mod live;
mod log;
mod message;
mod met;
mod prints;
mod probe;
mod redaction;
mod route;
mod runs;
mod scrape;
mod sec;
mod shell;
mod spring;
mod trc;
mod used;
mod wiring;

use self::prints::prints;
use crate::fact::LogCall;
use crate::files::Document;
use crate::files::collector::Collector;
use crate::files::environment::Environment;
use crate::files::log_xml::LogXml;
use crate::repository::Role;
use crate::rule::Judge;
use crate::{Case, Fact, FactKind, File, Guard, Place};

/// Pages and judges. Order does not matter: rules are listed by code.
pub(crate) const TABLE: &[(&str, Judge)] = &[
    (include_str!("../rules/ALR001.md"), alert::absent),
    (include_str!("../rules/ALR002.md"), alert::hold),
    (include_str!("../rules/ALR003.md"), alert::runbook),
    (include_str!("../rules/ALR004.md"), alert::cause),
    (include_str!("../rules/ALR005.md"), alert::owner),
    (include_str!("../rules/ALR006.md"), alert::comparison),
    (include_str!("../rules/ALR007.md"), wiring::window),
    (include_str!("../rules/ALR010.md"), wiring::perfect),
    (include_str!("../rules/ALR011.md"), wiring::wired),
    (include_str!("../rules/ALR012.md"), wiring::refused),
    (include_str!("../rules/COL001.md"), collector::limiter),
    (include_str!("../rules/COL002.md"), collector::batch),
    (include_str!("../rules/COL003.md"), collector::debug),
    (include_str!("../rules/COL005.md"), collector::names_match),
    (include_str!("../rules/HLT001.md"), hlt::hlt001),
    (include_str!("../rules/HLT002.md"), probe::missing),
    (include_str!("../rules/HLT003.md"), probe::healthcheck),
    (include_str!("../rules/HLT005.md"), probe::equal),
    (include_str!("../rules/HLT007.md"), hlt::hlt007),
    (include_str!("../rules/HLT008.md"), probe::binary),
    (include_str!("../rules/LIF004.md"), shell::shell),
    (include_str!("../rules/LOG001.md"), log::log001),
    (include_str!("../rules/LOG002.md"), log::log002),
    (include_str!("../rules/LOG003.md"), log::log003),
    (include_str!("../rules/LOG004.md"), log::log004),
    (include_str!("../rules/LOG005.md"), log::log005),
    (include_str!("../rules/LOG006.md"), log::log006),
    (include_str!("../rules/LOG007.md"), log::log007),
    (include_str!("../rules/LOG008.md"), log::log008),
    (include_str!("../rules/LOG009.md"), log::log009),
    (include_str!("../rules/LOG010.md"), log::log010),
    (include_str!("../rules/LOG011.md"), log::log011),
    (include_str!("../rules/MET001.md"), met::met001),
    (include_str!("../rules/MET002.md"), met::met002),
    (include_str!("../rules/MET003.md"), met::met003),
    (include_str!("../rules/MET004.md"), labels::met004),
    (include_str!("../rules/MET005.md"), labels::met005),
    (include_str!("../rules/MET006.md"), met::met006),
    (include_str!("../rules/MET007.md"), met::met007),
    (include_str!("../rules/MET010.md"), met::met010),
    (include_str!("../rules/SEC001.md"), sec::sec001),
    (include_str!("../rules/SEC002.md"), sec::sec002),
    (include_str!("../rules/SEC003.md"), sec::sec003),
    (include_str!("../rules/SEC004.md"), sec::sec004),
    (include_str!("../rules/SEC005.md"), sec::sec005),
    (include_str!("../rules/SEC006.md"), sec::sec006),
    (include_str!("../rules/SEC007.md"), sec::sec007),
    (include_str!("../rules/SEC008.md"), sec::sec008),
    (include_str!("../rules/SEC009.md"), sec::sec009),
    (include_str!("../rules/SEC010.md"), sec::sec010),
    (include_str!("../rules/SEC011.md"), sec::sec011),
    (include_str!("../rules/SEC012.md"), sec::sec012),
    (include_str!("../rules/TRC001.md"), trc::trc001),
    (include_str!("../rules/TRC002.md"), trc::trc002),
    (include_str!("../rules/TRC003.md"), trc::trc003),
    (include_str!("../rules/TRC004.md"), trc::trc004),
    (include_str!("../rules/TRC005.md"), trc::trc005),
    (include_str!("../rules/TRC006.md"), trc::trc006),
    (include_str!("../rules/TRC007.md"), trc::trc007),
    (include_str!("../rules/TRC008.md"), trc::trc008),
    (include_str!("../rules/TRC009.md"), trc::trc009),
    (include_str!("../rules/ALR008.md"), alert_code::unknown_metric),
    (include_str!("../rules/ALR009.md"), alert_code::errors),
    (include_str!("../rules/COL004.md"), redaction::redaction),
    (include_str!("../rules/HLT004.md"), route::dependency),
    (include_str!("../rules/HLT006.md"), route::route),
    (include_str!("../rules/LIF001.md"), lifecycle::flush),
    (include_str!("../rules/LIF002.md"), lifecycle::exit),
    (include_str!("../rules/LIF003.md"), lifecycle::sigterm),
    (include_str!("../rules/LIV001.md"), live::spans),
    (include_str!("../rules/LIV002.md"), live::requests),
    (include_str!("../rules/LIV003.md"), live::strangers),
    (include_str!("../rules/MET008.md"), scrape::auth),
    (include_str!("../rules/MET009.md"), scrape::scraped),
];
/// The place of the first fact that holds.
fn first(case: &Case<'_>, test: impl Fn(&FactKind) -> bool) -> Option<Place> {
    let mut found = case.facts().filter(|(_, fact)| test(&fact.kind));
    found.next().map(|(file, fact)| file.place(fact.span))
}

/// Whether a fact holds in production.
fn is_live(fact: &Fact) -> bool {
    matches!(fact.scope.guard, Guard::Always | Guard::Production)
}

/// Log calls, and all else by which values reach the logs.
fn shown<'r>(case: &Case<'r>) -> impl Iterator<Item = (&'r File, &'r Fact, &'r LogCall)> {
    case.facts().filter_map(|(file, fact)| match &fact.kind {
        FactKind::Log(log) | FactKind::Shown(log) if fact.scope.guard != Guard::Development => {
            Some((file, fact, log))
        }
        _ => None,
    })
}

/// Logback's and Log4j's own files, those of production.
fn log_files<'r>(case: &Case<'r>) -> impl Iterator<Item = (&'r File, &'r LogXml)> {
    case.documents().filter_map(|(file, _, document)| match document {
        Document::LogXml(found)
            if file.role == Role::Production
                && Environment::of_path(&file.path).may_be_production() =>
        {
            Some((file, found))
        }
        _ => None,
    })
}

/// Whether what a Spring profile holds for may be production.
fn is_live_profile(profile: Option<&String>) -> bool {
    profile.is_none_or(|profile| {
        profile.starts_with('!')
            || profile.split([',', ' ', '|']).any(|p| Environment::from_name(p).may_be_production())
    })
}

/// Collectors of the repository.
fn collectors<'r>(case: &Case<'r>) -> impl Iterator<Item = (&'r File, &'r Collector)> {
    case.repository.files.iter().flat_map(|file| {
        file.documents.iter().filter_map(move |(_, document)| match document {
            Document::Collector(collector) => Some((file, collector)),
            _ => None,
        })
    })
}

/// Where a traces pipeline of the collector takes an attribute away.
fn removed_by_collector(case: &Case<'_>, key: &str) -> Option<Place> {
    for (file, collector) in collectors(case) {
        for pipeline in collector.pipelines.iter().filter(|p| p.id.starts_with("traces")) {
            for name in &pipeline.processors {
                let kind = name.split('/').next().unwrap_or_default();
                let component = collector.processors.iter().find(|c| c.id.value == name.value);
                let settings = component.map(|c| format!("{:?}", c.settings)).unwrap_or_default();
                let names = settings.contains(&format!("\"{key}\""))
                    || settings.contains(&format!("attributes[\\\"{key}\\\"]"));
                if matches!(kind, "redaction")
                    || (matches!(kind, "attributes" | "transform") && names)
                {
                    return Some(file.place(component.map_or(name.span, |c| c.id.span)));
                }
            }
        }
    }
    None
}

/// Where a logs pipeline of the collector redacts.
fn collector_redacts(case: &Case<'_>) -> Option<Place> {
    for (file, collector) in collectors(case) {
        for pipeline in collector.pipelines.iter().filter(|p| p.id.starts_with("logs")) {
            let found = pipeline.processors.iter().find(|name| {
                let kind = name.split('/').next().unwrap_or_default();
                kind == "redaction"
                    || (matches!(kind, "attributes" | "transform") && name.contains("redact"))
            });
            if let Some(name) = found {
                return Some(file.place(name.span));
            }
        }
    }
    None
}
