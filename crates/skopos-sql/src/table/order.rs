//! `ORDER BY time … LIMIT n`: a sort of all rows becomes an ordered scan that stops early.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use skopos_model::event::EventOrder;

use super::events::EventExec;

/// Beyond so many rows, sorting everything once is cheaper than reading page by page.
const MOST_ROWS: usize = 100_000;

/// The rule. It runs last: nothing may come between the scan and the limit that loses the order.
#[derive(Debug)]
pub(crate) struct NewestOrOldestFirst;

impl PhysicalOptimizerRule for NewestOrOldestFirst {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_down(|plan| {
            let Some(sort) = plan.downcast_ref::<SortExec>() else {
                return Ok(Transformed::no(plan));
            };
            let Some(fetch) = sort.fetch().filter(|&fetch| fetch <= MOST_ROWS) else {
                return Ok(Transformed::no(plan));
            };
            let [by] = sort.expr().as_ref() else { return Ok(Transformed::no(plan)) };
            let Some(column) = by.expr.downcast_ref::<Column>() else {
                return Ok(Transformed::no(plan));
            };
            let order = match by.options.descending {
                true => EventOrder::NewestFirst,
                false => EventOrder::OldestFirst,
            };
            match ordered(sort.input(), column.index(), order, Some(fetch))? {
                Some(input) => {
                    Ok(Transformed::yes(Arc::new(GlobalLimitExec::new(input, 0, Some(fetch)))))
                }
                None => Ok(Transformed::no(plan)),
            }
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "newest_or_oldest_first"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The same plan with its rows ordered by a column, when that column is the time of a scan below
/// and nothing on the way changes the order. `fetch` is how many rows are wanted of `plan`.
fn ordered(
    plan: &Arc<dyn ExecutionPlan>,
    column: usize,
    order: EventOrder,
    fetch: Option<usize>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(scan) = plan.downcast_ref::<EventExec>() {
        if !scan.is_time(column) {
            return Ok(None);
        }
        return Ok(Some(Arc::new(scan.ordered(order, fetch))));
    }
    let (column, fetch) = if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let column = match filter.projection().as_ref() {
            Some(places) => places.get(column).copied(),
            None => Some(column),
        };
        // How many rows it takes to find so many is not known.
        (column, None)
    } else if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let expr = projection.expr().get(column);
        let inner = expr.and_then(|expr| expr.expr.downcast_ref::<Column>());
        (inner.map(Column::index), fetch)
    } else if plan.is::<CooperativeExec>() {
        (Some(column), fetch)
    } else {
        (None, None)
    };
    let children = plan.children();
    let (Some(column), [input]) = (column, children.as_slice()) else { return Ok(None) };
    let Some(input) = ordered(input, column, order, fetch)? else { return Ok(None) };
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Ok(Some(Arc::clone(plan).replace_children(vec![input], options)?))
}
