//! `skopos demo`: the whole story on three real services.
//!
//! Nothing here is canned: this process starts `skopos serve` and the shop's three services as
//! processes of their own (the same binary, re-executed), sends them orders, switches faults, and
//! looks at the result only through the server's public HTTP API.
//!
//! Children end with their parent, however it ends: each watches its standard input, whose other
//! end this process holds (see [`exit_with_parent`]).

mod console;
mod fleet;
mod sink;
mod story;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};
use skopos_shop::load;

use crate::Outcome;
use crate::cli::GlobalArgs;
use fleet::Fleet;
use sink::Sink;

/// Orders per second: enough for steady ratios, little enough for a laptop on battery.
const ORDERS_PER_SECOND: u32 = 20;
/// How long the rest of a shutdown may take before children are killed.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// Set in children: end when standard input ends.
const EXIT_WITH_PARENT: &str = "SKOPOS_EXIT_WITH_PARENT";

/// Run the whole story on three real services: alert, logs, trace, fix, recovery.
///
/// Starts a server with the guide's alert rules (interval 1 s, every `for` a hundredth of the
/// guide's) and order-, payment- and inventory-service, and sends orders. Keys switch faults.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  skopos demo                           look around; keys 1, 2, 3 switch faults, q ends
  skopos demo --scripted                play the story once, verify every step, exit 0 or 1
  skopos demo --scripted --story slo    a deploy burns the error budget, and the gate closes
  skopos demo --scripted --without sink see that a missing step is noticed")]
pub(crate) struct DemoArgs {
    /// Play the story once and verify each step through the public API.
    #[arg(long)]
    scripted: bool,
    /// The story to play.
    #[arg(long, value_enum, default_value_t = Story::Alert, requires = "scripted", value_name = "STORY")]
    story: Story,
    /// Leave something out; the script must notice.
    #[arg(long, value_enum, requires = "scripted", value_name = "PART")]
    without: Option<Part>,
    /// Where to store data; a temporary folder, removed at the end, when not given.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(subcommand)]
    service: Option<ServiceCommand>,
}

/// A story that can be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Story {
    /// An alert, its logs, the trace, the failing service, the fix.
    Alert,
    /// A deploy burns the error budget: the page, the gate, and what it cost.
    Slo,
}

/// A part of the demo that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// No fault is switched on.
    Fault,
    /// Nobody receives webhooks.
    Sink,
    /// payment-service is not started.
    PaymentService,
}

/// One service of the shop, run by the demo in a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
enum ServiceCommand {
    /// Run order-service.
    #[command(name = "order-service", hide = true)]
    Order,
    /// Run payment-service.
    #[command(name = "payment-service", hide = true)]
    Payment,
    /// Run inventory-service.
    #[command(name = "inventory-service", hide = true)]
    Inventory,
}

pub(crate) fn run(args: DemoArgs, global: &GlobalArgs) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the async runtime")?;
    runtime.block_on(async {
        match args.service {
            Some(ServiceCommand::Order) => skopos_shop::order::run().await?,
            Some(ServiceCommand::Payment) => skopos_shop::payment::run().await?,
            Some(ServiceCommand::Inventory) => skopos_shop::inventory::run().await?,
            None => return demo(args, global).await,
        }
        Ok(Outcome::Done)
    })
}

async fn demo(args: DemoArgs, global: &GlobalArgs) -> Result<Outcome> {
    let sink = Sink::start(args.without != Some(Part::Sink)).await?;
    let fleet = Fleet::start(&args, &sink).await?;
    let tally = Arc::new(load::Tally::default());
    let load =
        tokio::spawn(load::run(fleet.order_url.clone(), ORDERS_PER_SECOND, Arc::clone(&tally)));
    let outcome = if args.scripted {
        let play = async {
            match args.story {
                Story::Alert => story::play(&fleet, &sink, args.without, global.format).await,
                Story::Slo => story::burn(&fleet, &sink, args.without, global.format).await,
            }
        };
        tokio::select! {
            outcome = play => outcome,
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        }
    } else {
        console::explore(&fleet, &sink).await
    };
    load.abort();
    fleet.stop().await;
    outcome
}

/// In a child of the demo: asks this process to end gracefully when its standard input ends, which
/// happens when the parent closes it or dies.
pub(crate) fn exit_with_parent() {
    if std::env::var_os(EXIT_WITH_PARENT).is_none() {
        return;
    }
    let watch = || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = signal_hook::low_level::raise(signal_hook::consts::SIGTERM);
    };
    if let Err(error) = std::thread::Builder::new().name("parent-watch".into()).spawn(watch) {
        eprintln!("cannot watch the parent process: {error}");
    }
}
