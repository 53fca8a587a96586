//! Scraping.

/// Scrape targets and their last results.
#[derive(Debug, Default)]
pub struct TargetsView;
