//! What else came around a hit: other links of the same mail, and mails of other receivers from the same network. Of this
//! process only, and forgotten after a minute.

use super::{Receiver, Seen};
use bus_schema::{Micros, TenantId};
use std::collections::{HashMap, VecDeque};
use uuid::Uuid;
use writers::mail::response::{BURST, Burst, MAILS, ORIGIN_WINDOW};

/// Entries of each kind that are remembered; the oldest go first.
const REMEMBERED: usize = 16_384;

/// What came lately.
#[derive(Debug, Default)]
pub(super) struct Bursts {
    /// Links that were followed, by mail.
    links: HashMap<Receiver, Vec<(Micros, u16)>>,
    by_age: VecDeque<(Micros, Receiver)>,
    origins: HashMap<Origin, Vec<(Micros, Uuid)>>,
    origins_by_age: VecDeque<(Micros, Origin)>,
}

type Origin = (TenantId, String);

impl Bursts {
    pub(super) fn note(&mut self, seen: &Seen) {
        self.forget(seen.at);
        let receiver = (seen.mail.tenant.clone(), seen.mail.mail);
        if let Some(link) = seen.link() {
            let links = self.links.entry(receiver.clone()).or_default();
            // The same link again within the burst says nothing new.
            if !links.iter().any(|(at, known)| *known == link && seen.at.0 - at.0 < BURST) {
                links.push((seen.at, link));
                self.by_age.push_back((seen.at, receiver));
            }
        }
        if let Some(network) = &seen.network {
            let origin = (seen.mail.tenant.clone(), network.clone());
            let mails = self.origins.entry(origin.clone()).or_default();
            let contact = seen.mail.mail.contact;
            if mails.len() < MAILS && !mails.iter().any(|(_, known)| *known == contact) {
                mails.push((seen.at, contact));
                self.origins_by_age.push_back((seen.at, origin));
            }
        }
    }

    /// What is known around a hit.
    pub(super) fn around(&self, seen: &Seen) -> (Burst, usize) {
        let near = |at: &Micros, window: i64| (at.0 - seen.at.0).abs() <= window;
        let links = self.links.get(&(seen.mail.tenant.clone(), seen.mail.mail));
        let links = links.into_iter().flatten().filter(|(at, _)| near(at, BURST));
        let mut numbers: Vec<u16> = links.map(|(_, link)| *link).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let honeypot = seen.is_honeypot() || numbers.contains(&bus_schema::mail::response::HONEYPOT);
        let links = numbers.iter().filter(|number| **number != bus_schema::mail::response::HONEYPOT).count();
        let origin = seen.network.as_ref().map(|network| (seen.mail.tenant.clone(), network.clone()));
        let mails = origin.and_then(|origin| self.origins.get(&origin));
        let mails = mails.map_or(0, |mails| mails.iter().filter(|(at, _)| near(at, ORIGIN_WINDOW)).count());
        (Burst { links, honeypot }, mails)
    }

    fn forget(&mut self, now: Micros) {
        forget(&mut self.links, &mut self.by_age, Micros(now.0 - 3 * BURST));
        forget(&mut self.origins, &mut self.origins_by_age, Micros(now.0 - ORIGIN_WINDOW));
    }
}

/// Takes out what is older than a time, and the oldest when there is too much.
fn forget<K: Eq + std::hash::Hash, V>(
    map: &mut HashMap<K, Vec<(Micros, V)>>,
    by_age: &mut VecDeque<(Micros, K)>,
    before: Micros,
) {
    while let Some((at, _)) = by_age.front()
        && (*at < before || by_age.len() >= REMEMBERED)
    {
        let Some((at, key)) = by_age.pop_front() else { return };
        let Some(entries) = map.get_mut(&key) else { continue };
        entries.retain(|(noted, _)| *noted > at);
        if entries.is_empty() {
            map.remove(&key);
        }
    }
}
