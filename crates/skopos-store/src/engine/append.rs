//! The thread that prepares, encodes and applies batches, and freezes the head for a flush.

use std::sync::Arc;
use std::sync::mpsc::{SendError, SyncSender};
use std::thread::JoinHandle;

use skopos_model::{Appended, MetricBatch, SignalBatch};
use tokio::sync::{mpsc, oneshot, watch};

use super::flush::Command;
use super::ingest::Ingest;
use crate::codec;
use crate::error::StoreError;
use crate::head::PreparedBatch;
use crate::wal::frame::{self, MAX_BODY_BYTES};
use crate::wal::poison::{Poison, PoisonOnPanic};
use crate::wal::writer::{Job, Rotate, Write};

/// What the thread is asked to do.
pub(super) enum Request {
    /// Store a batch.
    Append(SignalBatch, oneshot::Sender<Result<Appended, StoreError>>),
    /// Give the head a successor; answered once the WAL has begun a new segment.
    Freeze(SyncSender<Result<(), StoreError>>),
}

/// Series per frame of what is carried over to a new segment.
const CARRIED_SERIES: usize = 8192;

/// Starts the thread. It ends when all senders of `queue` are gone, and lets go of the WAL then.
pub(super) fn spawn(
    ingest: Arc<Ingest>,
    poison: Poison,
    mut queue: mpsc::Receiver<Request>,
    wal: SyncSender<Job>,
    flusher: SyncSender<Command>,
    alive: watch::Receiver<()>,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("skopos-append".into()).spawn(move || {
        let _guard = PoisonOnPanic(poison.clone());
        while let Some(request) = queue.blocking_recv() {
            match request {
                Request::Append(batch, reply) => {
                    append(&ingest, &poison, &wal, batch, reply);
                    if ingest.wants_flush() {
                        // A full queue means that the flusher has enough to look at.
                        let _ = flusher.try_send(Command::Look);
                    }
                }
                Request::Freeze(reply) => freeze(&ingest, &poison, &wal, reply),
            }
        }
        drop(alive);
    })
}

fn append(
    ingest: &Ingest,
    poison: &Poison,
    wal: &SyncSender<Job>,
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
    if let Err(SendError(Job::Write(refused))) = wal.send(Job::Write(Write { kind, body, done })) {
        (refused.done)(Err(poison.error("its thread has ended")));
    }
}

/// Exchanges the head between two batches, so that the WAL's segments and the heads hold the same.
fn freeze(
    ingest: &Ingest,
    poison: &Poison,
    wal: &SyncSender<Job>,
    reply: SyncSender<Result<(), StoreError>>,
) {
    if let Err(error) = poison.check() {
        return drop(reply.send(Err(error)));
    }
    let (frozen, carried) = ingest.freeze();
    let MetricBatch { mut series, metadata } = carried;
    let mut batches = vec![MetricBatch { series: Vec::new(), metadata }];
    while !series.is_empty() {
        let rest = series.split_off(series.len().min(CARRIED_SERIES));
        batches.push(MetricBatch { series, metadata: Vec::new() });
        series = rest;
    }
    batches.retain(|batch| !batch.series.is_empty() || !batch.metadata.is_empty());
    let frames =
        batches.iter().map(|batch| (frame::METRICS, codec::encode_metrics(batch))).collect();
    let done = Box::new(move |begun: Result<u64, StoreError>| {
        let begun = begun.map(|number| {
            // Set once: each head is frozen once.
            let _ = frozen.wal_from.set(number);
        });
        drop(reply.send(begun));
    });
    if let Err(SendError(Job::Rotate(refused))) = wal.send(Job::Rotate(Rotate { frames, done })) {
        (refused.done)(Err(poison.error("its thread has ended")));
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
