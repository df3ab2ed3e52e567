//! Failed attempts on addresses nobody has. They are locked as an account would be, or the lock would tell who has an
//! account; they are not recorded in the log, or anybody could fill it with made-up addresses.

use crate::identity::lockout::Lockout;
use bus_schema::Micros;
use std::sync::{Mutex, PoisonError};
use uuid::Uuid;

/// Addresses remembered; the least used are forgotten first, and all of them with the process.
const ADDRESSES: usize = 20_000;

pub(super) struct UnknownAddresses(Mutex<quick_cache::unsync::Cache<Uuid, Lockout>>);

impl Default for UnknownAddresses {
    fn default() -> Self {
        Self(Mutex::new(quick_cache::unsync::Cache::new(ADDRESSES)))
    }
}

impl UnknownAddresses {
    pub(super) fn locked_until(&self, address: Uuid, now: Micros) -> Option<Micros> {
        let addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.get(&address)?.open_window(now)
    }

    /// Counts one failure. Inside a window it does not count and the window's end is given.
    pub(super) fn fail(&self, address: Uuid, now: Micros) -> Option<Micros> {
        let mut addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lockout = addresses.get(&address).copied().unwrap_or_default();
        if let Some(until) = lockout.open_window(now) {
            return Some(until);
        }
        addresses.insert(address, lockout.after_failure(now));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_address_is_locked_like_an_account() {
        let unknown = UnknownAddresses::default();
        let (address, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for _ in 0..5 {
            assert_eq!(unknown.locked_until(address, Micros(0)), None);
            assert_eq!(unknown.fail(address, Micros(0)), None);
        }
        let until = Some(Micros(120_000_000));
        assert_eq!(unknown.locked_until(address, Micros(1)), until);
        assert_eq!(unknown.fail(address, Micros(1)), until, "a parallel attempt does not count");
        assert_eq!(unknown.fail(address, Micros(120_000_000)), None);
        assert_eq!(unknown.locked_until(address, Micros(120_000_001)), Some(Micros(360_000_000)));
        assert_eq!(unknown.locked_until(other, Micros(1)), None);
    }
}
