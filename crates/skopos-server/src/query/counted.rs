//! Instant queries that also say how many series each selector matched: for rules, which must tell a
//! condition that does not hold from data that is not there.

use skopos_model::LabelMatcher;
use skopos_model::storage::{QueryBudget, SampleBuffer, SeriesSelect, SeriesSet, StorageError};
use skopos_promql::plan::{EvalParams, Plan};

use super::{Answer, QueryEngine, QueryError, QueryOptions};

impl QueryEngine {
    /// Evaluates at one time, and counts the series of each of the query's selectors, given by
    /// their conditions. A selector counts 0 when no series of it has a sample in the time that is
    /// read.
    pub async fn instant_counted(
        &self,
        query: &str,
        time_ms: i64,
        options: &QueryOptions,
        selectors: Vec<Vec<LabelMatcher>>,
    ) -> Result<(Answer, Vec<u64>), QueryError> {
        let run = move |plan: &Plan, data: Vec<SeriesSet>, budget: &QueryBudget| {
            let count = |matchers: &Vec<LabelMatcher>| {
                count(plan.selects(), &data, matchers, budget).map_err(QueryError::from)
            };
            let counts: Result<Vec<u64>, QueryError> = selectors.iter().map(count).collect();
            Ok((counts?, skopos_promql::evaluate(plan, data, budget)?))
        };
        let params = EvalParams::instant(time_ms);
        let (_, answer, timings) = self.planned(query, params, options, Some(run)).await?;
        let none = || QueryError::Failed { reason: "no result".into() };
        let (counts, result) = answer.ok_or_else(none)?;
        Ok((Answer { result, timings }, counts))
    }
}

/// Series of a selector among what was fetched. Selectors share fetches, so what a fetch asked for
/// may be less strict than the selector; the conditions left are asked of the labels here.
fn count(
    selects: &[SeriesSelect],
    data: &[SeriesSet],
    matchers: &[LabelMatcher],
    budget: &QueryBudget,
) -> Result<u64, StorageError> {
    let mut most = 0;
    let mut buffer = SampleBuffer::default();
    for (select, set) in selects.iter().zip(data) {
        if !select.matchers.iter().all(|known| matchers.contains(known)) {
            continue;
        }
        let left: Vec<&LabelMatcher> =
            matchers.iter().filter(|m| !select.matchers.contains(m)).collect();
        let is_wanted = |labels: &skopos_model::Labels| {
            left.iter().all(|matcher| matcher.matches(labels.value(matcher.name())))
        };
        let wanted: Vec<_> = set.series.iter().filter(|s| is_wanted(&s.labels)).collect();
        // What was fetched may have no sample in range; one that has some is proof enough.
        for series in &wanted {
            buffer.clear();
            series.samples.decode(select.start_ms, select.end_ms, &mut buffer)?;
            budget.charge_samples(buffer.len() as u64)?;
            if !buffer.is_empty() {
                most = most.max(wanted.len() as u64);
                break;
            }
        }
    }
    Ok(most)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use skopos_model::storage::{SelectHints, SelectedSeries};
    use skopos_model::{Labels, Sample};

    use super::*;

    #[test]
    fn selectors_that_share_a_fetch_are_told_apart() {
        let name = LabelMatcher::equal("__name__", "http_requests_total");
        let code = |value: &str| LabelMatcher::equal("code", value);
        let series = |code: &str, times: &[i64]| SelectedSeries {
            labels: Labels::from_pairs([("__name__", "http_requests_total"), ("code", code)]),
            samples: Arc::new(times.iter().map(|t| Sample::float(*t, 1.0)).collect::<Vec<_>>()),
        };
        let select = SeriesSelect {
            matchers: vec![name.clone()],
            start_ms: 1_000,
            end_ms: 2_000,
            hints: SelectHints::default(),
        };
        let set = SeriesSet {
            series: vec![series("200", &[1_500]), series("404", &[1_500]), series("500", &[500])],
        };
        let (selects, data, budget) = ([select], [set], QueryBudget::unlimited());
        let count = |matchers: &[LabelMatcher]| count(&selects, &data, matchers, &budget).unwrap();
        assert_eq!(count(std::slice::from_ref(&name)), 3);
        assert_eq!(count(&[name.clone(), code("200")]), 1);
        assert_eq!(count(&[code("200"), name.clone()]), 1, "whatever the order");
        assert_eq!(count(&[name.clone(), code("503")]), 0);
        assert_eq!(count(&[name, code("500")]), 0, "it has no sample in range");
        assert_eq!(count(&[LabelMatcher::equal("__name__", "other")]), 0);
    }
}
