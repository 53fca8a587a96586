//! COL001–COL003 and COL005: does the Collector survive a burst, send in batches, and say what it means?

use std::collections::BTreeSet;

use super::deployed;
use crate::files::collector::{Collector, Component, Pipeline, kind};
use crate::files::environment::Environment;
use crate::files::{Document, folder};
use crate::{Case, File, Span, Verdicts};

/// The Collector configurations that may run in production.
pub(super) fn collectors<'r>(case: &Case<'r>) -> Vec<(&'r File, &'r Collector)> {
    let all = deployed::documents(case).filter_map(|(file, document)| match document {
        Document::Collector(collector) => Some((file, collector)),
        _ => None,
    });
    all.filter(|(file, _)| Environment::of_path(&file.path).may_be_production()).collect()
}

/// Those with pipelines, or the rule has no say.
fn whole<'r>(case: &Case<'r>, verdicts: &mut Verdicts) -> Vec<(&'r File, &'r Collector)> {
    let found: Vec<_> = collectors(case)
        .into_iter()
        .filter(|(_, collector)| !collector.pipelines.is_empty())
        .collect();
    if found.is_empty() {
        verdicts.not_applicable();
    }
    found
}

/// Where a pipeline lists its processors, or its name.
pub(super) fn processors_span(pipeline: &Pipeline) -> Span {
    pipeline.processors.first().map_or(pipeline.id.span, |first| first.span)
}

fn names(pipelines: &[&Pipeline]) -> String {
    pipelines.iter().map(|pipeline| format!("`{}`", pipeline.id)).collect::<Vec<_>>().join(", ")
}

/// COL001: no memory limiter, or one behind what already holds the data.
pub(super) fn limiter(case: &Case<'_>, verdicts: &mut Verdicts) {
    for (file, collector) in whole(case, verdicts) {
        let is_limiter = |id: &str| kind(id) == "memory_limiter";
        let without: Vec<&Pipeline> = collector
            .pipelines
            .iter()
            .filter(|pipeline| !pipeline.processors.iter().any(|id| is_limiter(id)))
            .collect();
        if let Some(first) = without.first() {
            verdicts.finding(
                file.place(processors_span(first)),
                format!(
                    "without `memory_limiter` a burst ends this Collector: {}",
                    names(&without)
                ),
            );
        }
        for pipeline in &collector.pipelines {
            let at = pipeline.processors.iter().position(|id| is_limiter(id));
            if let Some(late) = at.filter(|at| *at > 0).and_then(|at| pipeline.processors.get(at)) {
                verdicts.finding(
                    file.place(late.span),
                    format!("`memory_limiter` is not the first processor of `{}`: what stands before it fills the memory", pipeline.id),
                );
            }
        }
    }
}

/// COL002: every span is a request of its own.
pub(super) fn batch(case: &Case<'_>, verdicts: &mut Verdicts) {
    for (file, collector) in whole(case, verdicts) {
        let batches_itself = |id: &str| {
            let exporter = collector.exporters.iter().find(|exporter| exporter.id.value == id);
            let is_connector =
                collector.connectors.iter().any(|connector| connector.id.value == id);
            // What serves or prints does not send.
            matches!(kind(id), "debug" | "logging" | "prometheus" | "file" | "nop")
                || is_connector
                || exporter.is_some_and(|exporter| {
                    exporter.settings.at("sending_queue").has("batch")
                        || exporter.settings.has("batcher")
                })
        };
        let without: Vec<&Pipeline> = collector
            .pipelines
            .iter()
            .filter(|pipeline| {
                !pipeline
                    .processors
                    .iter()
                    .any(|id| kind(id) == "batch" || kind(id) == "groupbytrace")
                    && !pipeline.exporters.iter().all(|id| batches_itself(id))
            })
            .collect();
        if let Some(first) = without.first() {
            verdicts.finding(
                file.place(processors_span(first)),
                format!("nothing batches what is sent: {}", names(&without)),
            );
        }
    }
}

/// COL003: everything is printed.
pub(super) fn debug(case: &Case<'_>, verdicts: &mut Verdicts) {
    for (file, collector) in whole(case, verdicts) {
        for pipeline in &collector.pipelines {
            let printed =
                pipeline.exporters.iter().find(|id| matches!(kind(id), "debug" | "logging"));
            if let Some(id) = printed {
                verdicts.finding(
                    file.place(id.span),
                    format!("`{}` prints what passes through `{}`: volume, and whatever is in it, go to the Collector's own logs", id, pipeline.id),
                );
            }
        }
    }
}

/// Where components of a role are defined.
type Parts = fn(&Collector) -> [&[Component]; 2];

/// COL005: a pipeline names what is not defined, or something is defined and used by none.
pub(super) fn names_match(case: &Case<'_>, verdicts: &mut Verdicts) {
    let all = collectors(case);
    for (file, collector) in whole(case, verdicts) {
        // Layers of one configuration stand beside each other: what one names another may define.
        let layers: Vec<&Collector> = all
            .iter()
            .filter(|(other, c)| {
                folder(&other.path) == folder(&file.path)
                    && (other.path == file.path || !c.is_whole)
            })
            .map(|(_, c)| *c)
            .collect();
        let has_layers = all
            .iter()
            .any(|(other, _)| folder(&other.path) == folder(&file.path) && other.path != file.path);
        let defines = |id: &str, part: Parts| {
            layers
                .iter()
                .any(|layer| part(layer).iter().any(|list| list.iter().any(|c| c.id.value == id)))
        };
        let mut used: BTreeSet<&str> = BTreeSet::new();
        for pipeline in &collector.pipelines {
            let named: [(&str, &[crate::files::Text], Parts); 3] = [
                ("receiver", &pipeline.receivers, |c| [&c.receivers, &c.connectors]),
                ("processor", &pipeline.processors, |c| [&c.processors, &[]]),
                ("exporter", &pipeline.exporters, |c| [&c.exporters, &c.connectors]),
            ];
            for (role, ids, part) in named {
                for id in ids {
                    used.insert(&id.value);
                    if id.contains("${") || id.contains("{{") || defines(id, part) {
                        continue;
                    }
                    verdicts.finding(
                        file.place(id.span),
                        format!("`{}` names the {role} `{id}`, which is not defined: the Collector does not start", pipeline.id),
                    );
                }
            }
        }
        if has_layers {
            continue;
        }
        let parts = [
            ("receiver", &collector.receivers),
            ("processor", &collector.processors),
            ("exporter", &collector.exporters),
        ];
        for (role, components) in parts {
            for component in components.iter().filter(|c| !used.contains(c.id.value.as_str())) {
                verdicts.finding(
                    file.place(component.id.span),
                    format!("the {role} `{}` is defined and no pipeline uses it", component.id),
                );
            }
        }
    }
}
