//! What the printed form of a type holds: its fields, and those of the types of its fields.

use std::collections::HashSet;

use super::{Class, class_of, hides};
use crate::Case;
use crate::fact::TypeDef;

/// A type whose printed form holds a secret: its name and the field.
/// Written as JSON, a type's own way of printing itself does not count.
pub(crate) fn secret_field<'r>(
    declared: &str,
    is_json: bool,
    case: &Case<'r>,
) -> Option<(&'r TypeDef, &'r str)> {
    let is_secret = |class: Option<Class>| {
        matches!(class, Some(Class::Card | Class::Credential | Class::Header))
    };
    printed_field(declared, is_json, case, &is_secret)
}

/// A type whose printed form holds data of payment cards, however deep: its name and the field.
pub(crate) fn card_field<'r>(
    declared: &str,
    is_json: bool,
    case: &Case<'r>,
) -> Option<(&'r TypeDef, &'r str)> {
    printed_field(declared, is_json, case, &|class| class == Some(Class::Card))
}

/// How deep types within types are looked into.
const DEPTH: usize = 3;

/// The field of a class that the printed form of a type holds, in types of its fields too; each type is looked at once.
fn printed_field<'r>(
    declared: &str,
    is_json: bool,
    case: &Case<'r>,
    is_meant: &dyn Fn(Option<Class>) -> bool,
) -> Option<(&'r TypeDef, &'r str)> {
    let mut seen = HashSet::from([bare(declared)]);
    let mut level = vec![bare(declared)];
    for _ in 0..=DEPTH {
        let mut next = Vec::new();
        let defs = level.into_iter().flat_map(|name| case.types(name));
        for def in defs.filter(|def| is_json || !def.own_print) {
            let field = def.fields.iter().find(|(name, of)| {
                let is_left_out = is_json && of.starts_with("@JsonIgnore");
                !is_left_out
                    && !hides(Some(of))
                    && !is_own_type(of, case)
                    && is_meant(class_of(name, case))
            });
            if let Some((name, _)) = field {
                return Some((def, name.as_str()));
            }
            next.extend(def.fields.iter().map(|(_, of)| bare(of)).filter(|of| seen.insert(of)));
        }
        level = next;
    }
    None
}

/// Whether a declared type is one of the repository's whose printed form is known: its fields are, or it prints itself
/// with care.
pub(super) fn prints_itself(declared: &str, case: &Case<'_>) -> bool {
    case.types(bare(declared)).any(|def| def.own_print || !def.fields.is_empty())
}

/// The name of a declared type: without an annotation before it, and of `Vec<User>` and `*pkg.User` the last part.
pub(super) fn bare(declared: &str) -> &str {
    let bare = match declared.starts_with('@') {
        true => declared.split_once(") ").or(declared.split_once(' ')).map_or("", |(_, t)| t),
        false => declared,
    };
    let bare = bare.trim_matches(|c: char| !c.is_alphanumeric() && c != '_');
    bare.rsplit(['.', ':', '[', ']', '<', '&', '*']).next().unwrap_or(bare)
}

/// Whether a declared type is one of the repository's: then its name says little of what is in it.
fn is_own_type(declared: &str, case: &Case<'_>) -> bool {
    let mut names = declared.split(|c: char| !c.is_alphanumeric() && c != '_');
    names.any(|name| !name.is_empty() && case.types(name).next().is_some())
}
