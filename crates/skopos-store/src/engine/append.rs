//! The thread that prepares, encodes and applies batches.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use skopos_model::{Appended, SignalBatch};
use tokio::sync::{mpsc, oneshot, watch};

use super::ingest::Ingest;
use crate::codec;
use crate::error::StoreError;
use crate::head::PreparedBatch;
use crate::wal::frame::{self, MAX_BODY_BYTES};
use crate::wal::poison::{Poison, PoisonOnPanic};
use crate::wal::writer::Write;

/// A batch with its sender.
pub(super) struct Request {
    pub(super) batch: SignalBatch,
    pub(super) reply: oneshot::Sender<Result<Appended, StoreError>>,
}

/// Starts the thread. It ends when all senders of `queue` are gone, and lets go of the WAL then.
pub(super) fn spawn(
    ingest: Arc<Ingest>,
    poison: Poison,
    mut queue: mpsc::Receiver<Request>,
    wal: SyncSender<Write>,
    alive: watch::Receiver<()>,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("skopos-append".into()).spawn(move || {
        let _guard = PoisonOnPanic(poison.clone());
        while let Some(Request { batch, reply }) = queue.blocking_recv() {
            append(&ingest, &poison, &wal, batch, reply);
        }
        drop(alive);
    })
}

fn append(
    ingest: &Ingest,
    poison: &Poison,
    wal: &SyncSender<Write>,
    batch: SignalBatch,
    reply: oneshot::Sender<Result<Appended, StoreError>>,
) {
    let taken = poison.check().and_then(|()| {
        ingest.take_in(batch, |prepared| match prepared.batch.is_empty() {
            true => Ok(None),
            false => encode(&prepared.batch).map(Some),
        })
    });
    let (encoded, receipt) = match taken {
        Ok((encoded, accepted, rejected)) => (encoded, Appended { accepted, rejected }),
        Err(error) => return drop(reply.send(Err(error))),
    };
    let Some((kind, body)) = encoded else {
        return drop(reply.send(Ok(receipt)));
    };
    // Who gave up waiting is not told; dropping the answer is right.
    let done = Box::new(move |written: Result<(), StoreError>| {
        drop(reply.send(written.map(|()| receipt)));
    });
    if let Err(refused) = wal.send(Write { kind, body, done }) {
        (refused.0.done)(Err(poison.error("its thread has ended")));
    }
}

/// A prepared batch as a frame of the WAL.
fn encode(batch: &PreparedBatch) -> Result<(u8, Vec<u8>), StoreError> {
    let (kind, body) = match batch {
        PreparedBatch::Metrics(batch) => (frame::METRICS, Ok(codec::encode_metrics(batch))),
        PreparedBatch::Logs { first_sequence, batch } => {
            (frame::LOGS, codec::encode_logs(*first_sequence, batch))
        }
        PreparedBatch::Traces { first_sequence, batch } => {
            (frame::TRACES, codec::encode_traces(*first_sequence, batch))
        }
    };
    let invalid = |reason: String| StoreError::InvalidInput { reason };
    let body = body.map_err(|error| invalid(error.to_string()))?;
    if body.len() > MAX_BODY_BYTES {
        return Err(invalid("batch is larger than 256 MiB: send smaller ones".into()));
    }
    Ok((kind, body))
}
