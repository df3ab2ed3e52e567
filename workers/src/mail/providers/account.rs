//! Asking providers at the start whether they know us. One that says no ends the start: its mails would all wait behind a
//! breaker, and the reason is a setting. One that cannot be asked now is no reason to stay away.

use super::Providers;
use crate::backend::ses::{Account, AccountFault};
use futures::future::join_all;

/// A provider that does not let us in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the mail provider {name} refuses what it was given: {address} answered {answer}; check its credentials, region and \
     configuration set in the file of --mail-providers"
)]
pub struct ProviderRefused {
    pub name: String,
    pub address: String,
    /// Its status, the name of the refusal and its words.
    pub answer: String,
}

impl Providers {
    /// Asks those that can be asked without sending a mail (SES) whether credentials and settings are right. What is not as it
    /// should be and does not keep mails from going out is logged.
    pub async fn check(&self) -> Result<(), ProviderRefused> {
        let asked = self.0.list.iter().filter_map(|provider| Some((provider, provider.transport.ses()?)));
        let answers = join_all(asked.map(|(provider, ses)| async move { (provider, ses, ses.account().await) })).await;
        for (provider, ses, answer) in answers {
            let (name, address) = (&provider.name, ses.options().address());
            match answer {
                Ok(account) => say(name, &account, provider.per_second),
                Err(AccountFault::Doubt(why)) => {
                    tracing::warn!(provider = %name, %address, %why, "whether this mail provider takes our mails is not known yet");
                }
                Err(AccountFault::Refused(answer)) => {
                    return Err(ProviderRefused { name: name.to_string(), address, answer });
                }
            }
        }
        Ok(())
    }
}

fn say(name: &str, account: &Account, per_second: Option<f64>) {
    let Account { sends, production, per_second: most } = account;
    tracing::info!(provider = name, sends, production, most_per_second = ?most, "the mail provider knows us");
    if !sends {
        tracing::warn!(
            provider = name,
            "sending is paused or ended for this account; its mails wait, or go to the next provider"
        );
    }
    if !production {
        tracing::warn!(provider = name, "this account is in the sandbox: only verified addresses get its mails");
    }
    if let Some(most) = most.filter(|most| per_second.is_none_or(|rate| rate > *most)) {
        tracing::warn!(provider = name, "this account may send {most} mails a second; set per_second to no more");
    }
}
