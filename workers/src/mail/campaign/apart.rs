//! The same way out for others than campaigns: with connections of its own, so that what goes through it waits for nobody's
//! campaign.

use super::{Outlet, OutletError};
use crate::mail::{Composer, Domain};
use std::time::Duration;

impl Outlet {
    /// With so many connections to each provider for mail to one person, 1 to 100, beside those of campaigns.
    pub fn reserving(self, connections: usize) -> Result<Self, OutletError> {
        if !(1..=100).contains(&connections) {
            return Err(OutletError::Reserved);
        }
        Ok(Self { reserved: connections, ..self })
    }

    /// The way out of mail to one person, over connections of its own. A provider that does not answer is left sooner: what is
    /// sent here may be sent again, and somebody waits for it.
    pub fn apart(&self) -> Self {
        let minute = Duration::from_secs(60);
        let providers = self.providers.apart(self.reserved, |timeouts| {
            timeouts.greeting = minute;
            timeouts.command = minute;
            timeouts.mail = minute;
            timeouts.rcpt = minute;
            timeouts.data = minute;
            timeouts.block = minute;
            timeouts.dot = 2 * minute;
        });
        Self { providers, ..self.clone() }
    }

    pub(in crate::mail) fn composer(&self) -> &Composer {
        &self.composer
    }

    /// Senders are at it or below it.
    pub fn domain(&self) -> &Domain {
        &self.from
    }

    /// Whether mails may come from an address at this domain.
    pub fn takes_sender(&self, domain: &Domain) -> bool {
        self.sends_for(domain)
    }

    /// Where receivers reach this platform, without a slash at its end.
    pub fn public(&self) -> &str {
        &self.public
    }
}
