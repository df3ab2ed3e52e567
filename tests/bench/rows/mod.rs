//! The figures, a file each.

mod alone;
mod archive;
mod cluster_list;
mod cluster_rebuild;
mod cluster_visible;
mod commands;
mod growth;
mod import;
mod mail;
mod memory;
mod page;
mod rebuild;
mod scaling;
mod visible;

use crate::{AnyError, Scale, table::Outcome};

/// In the order in which they are measured; `visible` uses what `commands` found.
pub(crate) const NAMES: [&str; 16] = [
    "commands",
    "alone",
    "rebuild",
    "visible",
    "page",
    "import",
    "growth",
    "memory",
    "mail",
    "mail-memory",
    "mail-latency",
    "archive",
    "cluster-rebuild",
    "cluster-visible",
    "cluster-list",
    "scaling",
];

/// Clients at once where a row speaks of full load.
const CLIENTS: usize = 256;
/// The batch the ceilings are measured with.
const RAW_BATCH: usize = 100;
const RAW_IN_FLIGHT: usize = 2;

/// Measures one row. `peak`: the commands a second under full load, once they are known.
pub(crate) async fn run(name: &str, scale: Scale, peak: &mut Option<f64>) -> Result<Vec<Outcome>, AnyError> {
    match name {
        "commands" => commands::measure(scale, peak).await,
        "alone" => alone::measure(scale).await,
        "rebuild" => rebuild::measure(scale).await,
        "visible" => visible::measure(scale, peak).await,
        "page" => page::measure(scale).await,
        "import" => import::measure(scale).await,
        "growth" => growth::measure(scale).await,
        "memory" => memory::measure(scale).await,
        "archive" => archive::measure(scale).await,
        "cluster-rebuild" => cluster_rebuild::measure(scale).await,
        "cluster-visible" => cluster_visible::measure(scale).await,
        "cluster-list" => cluster_list::measure(scale).await,
        "scaling" => scaling::measure(scale).await,
        "mail" => mail::speed(scale).await,
        "mail-memory" => mail::memory(scale).await,
        "mail-latency" => mail::latency(scale).await,
        _ => Err(format!("there is no row {name}").into()),
    }
}

fn rate(values: &[f64], what: &str) -> String {
    format!("{:.0} {what}/s", crate::table::median(values))
}

/// Each figure divided by its ceiling of the same turn.
fn ratios(figures: &[f64], ceilings: &[f64]) -> Vec<f64> {
    figures.iter().zip(ceilings).map(|(figure, ceiling)| figure / ceiling).collect()
}
