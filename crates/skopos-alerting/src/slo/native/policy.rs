//! When to be careful, who may overrule that, and how often the target is looked at.

use std::rc::Rc;
use std::time::Duration;

use super::super::load::{error_with_hint, share};
use super::super::{Policy, Review};
use super::given;
use crate::duration::parse_duration;
use crate::rules::load::Reader;
use crate::rules::yaml::Node;

const POLICY_KEYS: &[&str] = &["caution_below", "freeze_below", "go_after", "override", "review"];

/// The least data that may be enough to say go, and the most that may be asked for.
const GO_AFTER: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(86_400));

/// Reads a policy out of a text that holds nothing else.
pub(in crate::slo) fn policy_of(reader: &mut Reader<'_>, node: &Rc<Node>) -> Option<Policy> {
    read_policy(reader, node)
}

pub(super) fn read_policy(reader: &mut Reader<'_>, node: &Rc<Node>) -> Option<Policy> {
    let fields = reader.fields(node, POLICY_KEYS, "`policy`")?;
    let mut policy = Policy::default();
    let before = reader.errors.len();
    let limit = |reader: &mut Reader<'_>, key: &str, usual: f64, least: f64| {
        let Some(at) = given(&fields, key) else { return usual };
        let found = share(reader, at, key).unwrap_or(usual);
        if !(least..=1.0).contains(&found) {
            let message = format!(
                "`{key}` is a share of the budget, from {}% to 100%",
                crate::slo::tidy(least * 100.0)
            );
            reader.error_on(at, "value", message);
        }
        found
    };
    policy.caution_below = limit(reader, "caution_below", policy.caution_below, 0.0);
    policy.freeze_below = limit(reader, "freeze_below", policy.freeze_below, -10.0);
    if policy.freeze_below > policy.caution_below && reader.errors.len() == before {
        reader.error_on(node, "conflict", "`freeze_below` must not be above `caution_below`");
    }
    if let Some(at) = given(&fields, "go_after") {
        let text = reader.string(at, "go_after")?;
        match parse_duration(text.trim()) {
            Ok(length) if (GO_AFTER.0..=GO_AFTER.1).contains(&length) => policy.go_after = length,
            Ok(_) => reader.error_on(at, "value", "`go_after` is 1m at least and 1d at most"),
            Err(error) => reader.error_on(at, "value", format!("`go_after`: {error}")),
        }
    }
    if let Some(at) = given(&fields, "override") {
        let names = reader.list(at, "override").iter();
        let names: Vec<_> = names.map(|item| reader_string(item)).collect();
        if names.iter().any(Option::is_none) {
            reader.error_on(at, "value", "`override` lists names");
        }
        policy.override_by = names.into_iter().flatten().collect();
    }
    if let Some(at) = given(&fields, "review") {
        policy.review = match reader.string(at, "review")?.as_str() {
            "monthly" => Review::Monthly,
            "quarterly" => Review::Quarterly,
            "yearly" => Review::Yearly,
            other => {
                let message = format!("{other:?} is not how often one reviews");
                error_with_hint(
                    reader,
                    at,
                    "value",
                    message,
                    "choose monthly, quarterly or yearly",
                );
                Review::default()
            }
        };
    }
    (reader.errors.len() == before).then_some(policy)
}

fn reader_string(node: &Node) -> Option<String> {
    node.text().filter(|text| !text.trim().is_empty()).map(str::to_string)
}
