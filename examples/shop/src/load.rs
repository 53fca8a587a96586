//! A generator of orders: so many per second, spread over articles, regions and ways to pay.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::MissedTickBehavior;

use crate::{NewOrder, inventory};

/// At most so many orders under way; while that many hang, new ones are skipped and counted, as
/// customers who give up.
const MAX_IN_FLIGHT: usize = 256;

/// What became of the orders so far.
#[derive(Debug, Default)]
pub struct Tally {
    /// Placed.
    pub placed: AtomicU64,
    /// Answered with an error, or not at all.
    pub failed: AtomicU64,
    /// Not sent because too many hung.
    pub skipped: AtomicU64,
}

/// Sends `per_second` orders to order-service until dropped. Orders are drawn from a fixed
/// sequence, so that every demo is the same.
pub async fn run(order_url: String, per_second: u32, tally: Arc<Tally>) {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build();
    let Ok(http) = http else { return };
    let in_flight = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
    let mut tick = tokio::time::interval(Duration::from_secs(1) / per_second.max(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let skus: Vec<_> = inventory::skus().collect();
    for number in 0_usize.. {
        tick.tick().await;
        let Ok(permit) = Arc::clone(&in_flight).try_acquire_owned() else {
            tally.skipped.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let order = NewOrder {
            user_id: format!("user-{}", number * 7 % 50),
            sku: skus[number % skus.len()].into(),
            quantity: (number % 3 + 1) as u32,
            payment_method: ["card", "card", "paypal", "invoice"][number % 4].into(),
            region: ["eu", "us", "ap"][number % 3].into(),
        };
        let request = http.post(format!("{order_url}/orders")).json(&order);
        let tally = Arc::clone(&tally);
        tokio::spawn(async move {
            let placed = request.send().await.is_ok_and(|answer| answer.status().is_success());
            let counter = if placed { &tally.placed } else { &tally.failed };
            counter.fetch_add(1, Ordering::Relaxed);
            drop(permit);
        });
    }
}
