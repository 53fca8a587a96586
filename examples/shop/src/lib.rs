//! The guide's example as three real services: an order is placed, its inventory validated, its
//! payment charged.
//!
//! ```text
//! client ── POST /orders ──▶ order-service ──┬─ POST /reservations ──▶ inventory-service
//!                              │ SQLite      └─ POST /charges ───────▶ payment-service
//! ```
//!
//! This is code to copy from: each service is one module with one `run` function that does what a
//! service's `main` does with the SDK (`skopos`): initialise, wire, serve, shut down. The three
//! binaries under `src/bin` call nothing else. [`faults`] and [`load`] are what makes it a demo:
//! switches that break a service while it runs, and a generator of orders.
//!
//! What it is not: a shop. It forgets its stock at restart and its payment provider is a timer.

pub mod faults;
pub mod inventory;
pub mod load;
pub mod order;
pub mod payment;
pub mod settings;

use serde::{Deserialize, Serialize};

/// What a customer sends to `POST /orders`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewOrder {
    /// Who orders.
    pub user_id: String,
    /// What is ordered.
    pub sku: String,
    /// How many.
    pub quantity: u32,
    /// How it is paid: `card`, `paypal`, `invoice`.
    pub payment_method: String,
    /// Where it goes: `eu`, `us`, `ap`.
    pub region: String,
}

/// What `POST /orders` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlacedOrder {
    /// The order's number.
    pub order_id: i64,
    /// What it cost.
    pub amount: f64,
    /// In which currency.
    pub currency: String,
}

/// What order-service asks of inventory-service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reservation {
    /// What to reserve.
    pub sku: String,
    /// How many.
    pub quantity: u32,
}

/// What inventory-service answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reserved {
    /// Price of one piece.
    pub unit_price: f64,
}

/// What order-service asks of payment-service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Charge {
    /// Which order (its client-made key, so that a repeated charge is recognised).
    pub order_key: String,
    /// How much.
    pub amount: f64,
    /// In which currency.
    pub currency: String,
    /// How it is paid.
    pub payment_method: String,
}

/// What payment-service answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Charged {
    /// The provider's number for the charge.
    pub transaction_id: String,
    /// How much was charged.
    pub amount: f64,
}
