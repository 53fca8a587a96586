//! Making a commit of an engine durable, however long that takes: what nobody wrote down must not have happened, so
//! evaluation waits meanwhile.

use std::time::Duration;

use skopos::metrics::Counter;
use skopos_model::storage::StateCommit;
use tokio_util::sync::CancellationToken;

use crate::state::Storage;

/// From one attempt to the next.
const RETRY: Duration = Duration::from_millis(500);

/// Tries until the state log takes a commit; each refusal is counted, the first one told with `what` cannot be made
/// durable. `false` when the server stops before.
pub(crate) async fn until_durable(
    store: &dyn Storage,
    commit: Option<&StateCommit>,
    what: &str,
    failures: &Counter,
    stop: &CancellationToken,
) -> bool {
    let Some(commit) = commit else { return true };
    let mut told = false;
    loop {
        match store.commit(commit.clone()).await {
            Ok(_) => return true,
            Err(error) if !told => {
                told = true;
                tracing::error!(%error, what, source = %commit.id.source, "state cannot be made durable, evaluation waits");
            }
            Err(_) => {}
        }
        failures.inc();
        tokio::select! {
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}
