//! The judges, and the table that binds them to their pages.

mod alert;
mod collector;
mod deployed;
mod probe;
mod shell;
mod wiring;

use crate::rule::Judge;

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
    (include_str!("../rules/COL001.md"), collector::limiter),
    (include_str!("../rules/COL002.md"), collector::batch),
    (include_str!("../rules/COL003.md"), collector::debug),
    (include_str!("../rules/COL005.md"), collector::names_match),
    (include_str!("../rules/HLT002.md"), probe::missing),
    (include_str!("../rules/HLT003.md"), probe::healthcheck),
    (include_str!("../rules/HLT005.md"), probe::equal),
    (include_str!("../rules/HLT008.md"), probe::binary),
    (include_str!("../rules/LIF004.md"), shell::shell),
];
