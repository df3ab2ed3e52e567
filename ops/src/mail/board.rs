//! How the providers stand, as the API shows it.

use api::mail::providers::{MailProvider, ProviderDesk};
use workers::mail::providers::{BreakerState, ProviderStatus, Providers};

/// The providers of this process, if it has any.
pub struct ProviderBoard(pub Option<Providers>);

impl ProviderDesk for ProviderBoard {
    fn providers(&self) -> Vec<MailProvider> {
        self.0.as_ref().map(Providers::status).unwrap_or_default().into_iter().map(shown).collect()
    }
}

fn shown(status: ProviderStatus) -> MailProvider {
    let ProviderStatus { name, breaker, connections, accepted, refused, failed, unknown, passed_on } = status;
    let BreakerState { word, rests, cause, .. } = breaker;
    let rests_ms = rests.map(|rests| u64::try_from(rests.as_millis()).unwrap_or(u64::MAX));
    MailProvider { name, breaker: word, rests_ms, cause, connections, accepted, refused, failed, unknown, passed_on }
}
