//! inventory-service of the shop.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    skopos_shop::inventory::run().await
}
