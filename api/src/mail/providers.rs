//! How the mail providers stand, for readiness and metrics.

use crate::http::metrics::{Registry, label_text, render_head};
use serde::Serialize;
use std::{fmt::Write, sync::Arc};
use utoipa::ToSchema;

/// Knows how the providers stand; the platform has them.
pub trait ProviderDesk: Send + Sync {
    /// In the order in which they are tried; none when mail is not configured.
    fn providers(&self) -> Vec<MailProvider>;
}

/// A mail provider. The counts are of this process, since it started.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MailProvider {
    pub name: String,
    /// `closed`: it gets mails. `open`: it failed several times in a row and rests. `half_open`: one mail is tried.
    #[schema(example = "closed")]
    pub breaker: &'static str,
    /// Of an open one: until it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rests_ms: Option<u64>,
    /// A stage and a code of the failure that came last.
    #[schema(example = "connect: connection lost")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    pub connections: usize,
    pub accepted: u64,
    /// It said no to this one mail.
    pub refused: u64,
    /// It could not be reached, or took nothing at that moment.
    pub failed: u64,
    /// It did not answer a mail that it may have taken.
    pub unknown: u64,
    /// Mails that went to the next provider after it failed.
    pub passed_on: u64,
}

/// Adds them to the metrics.
pub fn measure(registry: &Registry, desk: Arc<dyn ProviderDesk>) {
    registry.add_source(move |out| render(out, &desk.providers()));
}

fn render(out: &mut String, providers: &[MailProvider]) {
    if providers.is_empty() {
        return;
    }
    let name = "mail_provider_open";
    render_head(out, name, "gauge", "1 while nothing is handed to the mail provider, because it failed too often.");
    for provider in providers {
        let open = u8::from(provider.breaker != "closed");
        _ = writeln!(out, "{name}{{{}}} {open}", label_text(&[("provider", &provider.name)]));
    }
    let name = "mail_handed_over_total";
    render_head(out, name, "counter", "Mails handed to a provider, by what it did; passed_on went to the next one.");
    for provider in providers {
        let counts = [
            ("accepted", provider.accepted),
            ("refused", provider.refused),
            ("failed", provider.failed),
            ("unknown", provider.unknown),
            ("passed_on", provider.passed_on),
        ];
        for (outcome, count) in counts {
            let labels = label_text(&[("provider", &provider.name), ("outcome", outcome)]);
            _ = writeln!(out, "{name}{{{labels}}} {count}");
        }
    }
}

/// What an operator should look at: providers that rest, and whether any other takes their mails.
pub fn note(providers: &[MailProvider]) -> Option<String> {
    let resting: Vec<&MailProvider> = providers.iter().filter(|provider| provider.breaker != "closed").collect();
    let said =
        |provider: &&MailProvider| format!("{}: {}", provider.name, provider.cause.as_deref().unwrap_or("failed"));
    let causes = resting.iter().map(said).collect::<Vec<_>>().join(", ");
    match resting.len() {
        0 => None,
        rest if rest == providers.len() => {
            Some(format!("no mail provider takes mails ({causes}); they wait, see the runbook sending-stopped.md"))
        }
        _ => Some(format!("mail providers rest after failures ({causes}); their mails go to the next one")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Two;

    impl ProviderDesk for Two {
        fn providers(&self) -> Vec<MailProvider> {
            let provider = |name: &str, breaker| MailProvider {
                name: name.into(),
                breaker,
                rests_ms: None,
                cause: None,
                connections: 8,
                accepted: 5,
                refused: 1,
                failed: 0,
                unknown: 0,
                passed_on: 0,
            };
            vec![provider("ses", "open"), provider("relay", "closed")]
        }
    }

    #[test]
    fn providers_that_rest_are_worth_a_note() {
        let mut two = Two.providers();
        two[0].cause = Some("auth 535 5.7.8".into());
        let one = note(&two).unwrap();
        assert!(one.contains("ses: auth 535 5.7.8") && one.contains("next one"), "{one}");
        two[1].breaker = "half_open";
        let none = note(&two).unwrap();
        assert!(none.starts_with("no mail provider") && none.contains("relay: failed"), "{none}");
        assert_eq!(note(&[]), None);
        two.iter_mut().for_each(|provider| provider.breaker = "closed");
        assert_eq!(note(&two), None);
    }

    #[test]
    fn providers_are_measured_by_name() {
        let registry = Registry::new();
        measure(&registry, Arc::new(Two));
        let text = registry.render();
        assert!(text.contains("mail_provider_open{provider=\"ses\"} 1\n"), "{text}");
        assert!(text.contains("mail_provider_open{provider=\"relay\"} 0\n"), "{text}");
        assert!(text.contains("mail_handed_over_total{provider=\"relay\",outcome=\"accepted\"} 5\n"), "{text}");
    }
}
