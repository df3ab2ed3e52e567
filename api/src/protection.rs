//! How well the log is protected: where it is copied to, and how much would be lost with it now.
//!
//! The endpoint knows nothing of archives; whoever runs them stands behind [`ProtectionDesk`].

use crate::{
    app::App,
    caller::Caller,
    http::{extract::Query, metrics, problem::Problem},
};
use axum::{Json, extract::State};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Knows the providers that hold copies of the log.
pub trait ProtectionDesk: Send + Sync + 'static {
    fn status(&self) -> ProtectionStatus;

    /// The digests of both streams up to these positions; up to their ends when absent.
    fn digests(&self, events: Option<u64>, facts: Option<u64>) -> BoxFuture<'_, Result<LogDigests, Problem>>;
}

/// What a log holds, in one number a stream: logs with the same messages at the same positions have the same.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LogDigests {
    pub events: StreamDigest,
    pub facts: StreamDigest,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StreamDigest {
    /// The last position in it.
    pub position: u64,
    /// BLAKE3 over position, subject, headers and body of every message, in hexadecimal digits.
    pub digest: String,
}

/// Where the copies of the log stand.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ProtectionStatus {
    /// Empty: no provider was named at the start, and the log exists once.
    pub providers: Vec<ProviderStatus>,
    /// Seconds of the log that no provider has: what would be lost if this machine were lost now.
    pub rpo_seconds: f64,
    /// Gaps found in the log since the start: positions that were missing before they were copied.
    pub gaps: u64,
}

/// One provider.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProviderStatus {
    #[schema(example = "a")]
    pub provider: String,
    /// `starting`, `running`, `retrying`, `halted` or `stopped`: the worst of its streams.
    #[schema(example = "running")]
    pub state: String,
    /// Age of the oldest event that is not at this provider, in seconds; 0 when there is none.
    pub rpo_seconds: f64,
    /// Events and facts that are in the log and not at this provider.
    pub rpo_events: u64,
    /// Seconds that the archive reaches back.
    pub history_seconds: Option<f64>,
    /// Entries and segments that were read back from the provider and are not what was written, since the start.
    pub chain_errors: u64,
    /// What is wrong, in words.
    pub error: Option<String>,
    pub streams: Vec<StreamStatus>,
}

/// One stream at one provider.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StreamStatus {
    #[schema(example = "EV_eu1")]
    pub stream: String,
    #[schema(example = "running")]
    pub state: String,
    pub epoch: u32,
    /// Everything up to this position is at the provider, says the archiver.
    pub archived: u64,
    /// The same, read back from the provider by somebody else; absent until it was.
    pub confirmed: Option<u64>,
    /// The last position of the log.
    pub log: u64,
    /// Entries of the manifest in this epoch.
    pub segments: u64,
    pub lag_events: u64,
    pub lag_seconds: f64,
    pub error: Option<String>,
}

/// A provider as everybody may see it, in `/readyz`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProviderReadiness {
    pub provider: String,
    pub state: String,
    pub rpo_seconds: f64,
    pub rpo_events: u64,
}

impl From<ProviderStatus> for ProviderReadiness {
    fn from(status: ProviderStatus) -> Self {
        let ProviderStatus { provider, state, rpo_seconds, rpo_events, .. } = status;
        Self { provider, state, rpo_seconds, rpo_events }
    }
}

impl ProtectionStatus {
    /// The lines of the metrics; nothing without a provider.
    pub fn render(&self, cell: &str, out: &mut String) {
        if self.providers.is_empty() {
            return;
        }
        let mut family = |name: &str, kind: &str, help: &str, value: &dyn Fn(&ProviderStatus) -> Option<f64>| {
            metrics::render_head(out, name, kind, help);
            for provider in &self.providers {
                if let Some(value) = value(provider) {
                    let labels = metrics::label_text(&[("region", cell), ("provider", &provider.provider)]);
                    _ = writeln!(out, "{name}{{{labels}}} {value}");
                }
            }
        };
        let rpo = "Age of the oldest event that is not at the provider; 0 when there is none.";
        family("cdp_rpo_seconds", "gauge", rpo, &|provider| Some(provider.rpo_seconds));
        let events = "Events and facts that are in the log and not at the provider.";
        family("cdp_rpo_events", "gauge", events, &|provider| Some(provider.rpo_events as f64));
        let halted = "1 when copying to the provider has halted and waits for a person.";
        family("cdp_halted", "gauge", halted, &|provider| Some(f64::from(u8::from(provider.state == "halted"))));
        let history = "How far the archive at the provider reaches back.";
        family("cdp_history_seconds", "gauge", history, &|provider| provider.history_seconds);
        let errors = "Entries and segments read back from the provider that are missing or not what was written.";
        family("cdp_chain_errors_total", "counter", errors, &|provider| Some(provider.chain_errors as f64));
        let gaps = "Gaps in the log: positions that were missing before they were copied.";
        metrics::render_head(out, "cdp_gap_total", "counter", gaps);
        _ = writeln!(out, "cdp_gap_total{{{}}} {}", metrics::label_text(&[("region", cell)]), self.gaps);
    }
}

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(status)).routes(routes!(digest))
}

/// Where the copies of the log stand, per provider and stream. Only for the tenant that operates the installation.
#[utoipa::path(get, path = "/v1/protection", tag = "protection",
    responses((status = 200, body = ProtectionStatus)))]
async fn status(State(app): State<App>, caller: Caller) -> Result<Json<ProtectionStatus>, Problem> {
    caller.allow("platform.protection:read")?;
    Ok(Json(app.protection.status()))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Upto {
    /// The last position of the events in it; all of them when absent
    events: Option<u64>,
    /// The last position of the facts in it; all of them when absent
    facts: Option<u64>,
}

/// What the log holds, in one number a stream, to be compared with a restored one. Reads the whole log. Only for the
/// tenant that operates the installation.
#[utoipa::path(get, path = "/v1/protection/digest", tag = "protection", params(Upto),
    responses((status = 200, body = LogDigests)))]
async fn digest(State(app): State<App>, caller: Caller, Query(upto): Query<Upto>) -> Result<Json<LogDigests>, Problem> {
    caller.allow("platform.protection:read")?;
    Ok(Json(app.protection.digests(upto.events, upto.facts).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_name_each_provider_and_nothing_without_one() {
        let provider = |name: &str, state: &str, rpo_seconds| ProviderStatus {
            provider: name.into(),
            state: state.into(),
            rpo_seconds,
            rpo_events: 7,
            history_seconds: (name == "a").then_some(60.0),
            chain_errors: 2,
            error: None,
            streams: Vec::new(),
        };
        let providers = vec![provider("a", "running", 0.5), provider("b", "halted", 30.0)];
        let status = ProtectionStatus { providers, rpo_seconds: 0.5, gaps: 1 };
        let mut text = String::new();
        status.render("eu1", &mut text);
        for line in [
            "# TYPE cdp_rpo_seconds gauge",
            "cdp_rpo_seconds{region=\"eu1\",provider=\"a\"} 0.5",
            "cdp_rpo_seconds{region=\"eu1\",provider=\"b\"} 30",
            "cdp_rpo_events{region=\"eu1\",provider=\"b\"} 7",
            "cdp_halted{region=\"eu1\",provider=\"a\"} 0",
            "cdp_halted{region=\"eu1\",provider=\"b\"} 1",
            "cdp_history_seconds{region=\"eu1\",provider=\"a\"} 60",
            "cdp_chain_errors_total{region=\"eu1\",provider=\"b\"} 2",
            "cdp_gap_total{region=\"eu1\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("cdp_history_seconds{region=\"eu1\",provider=\"b\"}"), "unknown is not zero");
        let mut text = String::new();
        ProtectionStatus::default().render("eu1", &mut text);
        assert_eq!(text, "");
    }
}
