//! Connections of an HTTP port, defended against clients that are slow or many.
//!
//! A head of a request must be complete within the header timeout, counted from the moment the
//! connection opens or the answer before it ended: so an idle connection is closed too, and a
//! client opens another. (Bodies have their own limit where they are read.) Beyond
//! [`MAX_CONNECTIONS`] new ones wait in the kernel's queue.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// Connections of one port at a time.
const MAX_CONNECTIONS: usize = 1_024;
/// Before accepting again when the system is out of files or memory.
const ACCEPT_RETRY: Duration = Duration::from_millis(200);
/// How long an HTTP/2 peer may leave a ping without answer.
const PING_PATIENCE: Duration = Duration::from_secs(20);

/// Serves until told to stop; then answers under way finish.
pub(super) async fn serve(
    listener: TcpListener,
    router: axum::Router,
    header_timeout: Duration,
    shutdown: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let open = TaskTracker::new();
    let accept = async {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::debug!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            let (router, shutdown) = (router.clone(), shutdown.clone());
            open.spawn(async move {
                connection(stream, peer, router, header_timeout, shutdown).await;
                drop(place);
            });
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = accept => {}
    }
    drop(listener);
    open.close();
    open.wait().await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: axum::Router,
    header_timeout: Duration,
    shutdown: CancellationToken,
) {
    // hyper's own timeout begins only once it knows the version of HTTP; this one at once.
    let asked = Arc::new(AtomicBool::new(false));
    let has_asked = Arc::clone(&asked);
    let service = tower::service_fn(move |mut request: Request<_>| {
        has_asked.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(header_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(header_timeout))
        .keep_alive_timeout(PING_PATIENCE);
    let service = TowerToHyperService::new(service);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut first_head = pin!(tokio::time::sleep(header_timeout));
    let mut may_be_idle = true;
    let mut stopping = false;
    loop {
        tokio::select! {
            // A client that broke off harms only itself.
            _ = connection.as_mut() => return,
            () = &mut first_head, if may_be_idle => {
                if !asked.load(Ordering::Relaxed) {
                    return;
                }
                may_be_idle = false;
            }
            () = shutdown.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
