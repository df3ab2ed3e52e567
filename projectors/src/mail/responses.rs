//! What receivers did with the mails of a campaign: opened, followed, left; people and programs apart.
//!
//! | table    | partition                    | sort            | body                                          |
//! |----------|------------------------------|-----------------|-----------------------------------------------|
//! | `people` | campaign id, contact id      | empty           | [`Person`]: one receiver                      |
//! | `totals` | campaign id                  | empty           | [`Totals`]                                    |
//! | `links`  | campaign id                  | number          | [`Link`]: at most as many as a mail has       |
//! | `hours`  | campaign id, `2026-11`       | `2026-11-22T09` | [`Hour`]: at most 744                         |
//!
//! A receiver counts once as somebody who opened or clicked: with the fact whose position stands in the row of that receiver.
//! So rows that were written before a crash and rows that were not come to the same sums afterwards.

use super::receivers::{self, PEOPLE, TOTALS, person_partition, row};
use crate::{
    positioned::{change, positioned},
    projection::{Projection, ProjectionError, RowName, Rows},
    read_store::{ReadStorePort, Scan, StoredRow},
    sort_key::{Order, SortKey},
    views::{ViewError, Views},
};
use bus_schema::{
    Address, AnyEvent, Micros, Recorded, TenantId,
    catalog::Catalogued,
    mail::response::{HONEYPOT, MailClicked, ResponseClass, ResponseEvent},
    subject::Family,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The name of the view.
pub const RESPONSES: &str = "responses";

const LINKS: &str = "links";
const HOURS: &str = "hours";
/// Links one receiver's row remembers as followed.
const REMEMBERED: usize = 64;
/// Links of a campaign that are read at once; a mail has at most as many that are counted.
const MAX_LINKS: usize = 502;
/// Hours of a month.
const MONTH: usize = 744;

/// Hits by what they are taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hits {
    #[serde(default)]
    pub human: u64,
    #[serde(default)]
    pub machine_mpp: u64,
    #[serde(default)]
    pub prefetch: u64,
    #[serde(default)]
    pub scanner: u64,
    #[serde(default)]
    pub unknown: u64,
}

impl Hits {
    fn count(&mut self, class: ResponseClass) {
        let sum = match class {
            ResponseClass::Human => &mut self.human,
            ResponseClass::MachineMpp => &mut self.machine_mpp,
            ResponseClass::Prefetch => &mut self.prefetch,
            ResponseClass::Scanner => &mut self.scanner,
            ResponseClass::Unknown => &mut self.unknown,
        };
        *sum = sum.saturating_add(1);
    }

    /// All that are not taken for a person's.
    pub fn machine(&self) -> u64 {
        self.machine_mpp + self.prefetch + self.scanner + self.unknown
    }
}

/// The first time something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct First {
    /// The position of the fact.
    #[serde(rename = "v")]
    pub seq: u64,
    #[serde(rename = "t")]
    pub at: Micros,
}

/// What one receiver did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    #[serde(rename = "v")]
    pub seq: u64,
    /// The first time a person opened it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<First>,
    /// The first time a program did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_opened: Option<First>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clicked: Option<First>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_clicked: Option<First>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<First>,
    pub opens: Hits,
    pub clicks: Hits,
    /// Links a person followed, each with its first fact.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    links: Vec<(u16, u64)>,
}

/// What all receivers of a campaign did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    #[serde(rename = "v")]
    pub seq: u64,
    /// Receivers.
    pub openers: u64,
    pub machine_openers: u64,
    pub clickers: u64,
    pub machine_clickers: u64,
    pub left: u64,
    /// Hits.
    pub opens: Hits,
    pub clicks: Hits,
}

/// One link of a campaign.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    #[serde(rename = "v")]
    pub seq: u64,
    /// Where it led for the first who followed it.
    pub target: String,
    /// It led somewhere else for others.
    #[serde(default)]
    pub varies: bool,
    pub clicks: Hits,
    /// Receivers who followed it, as people.
    pub people: u64,
}

/// One hour of a campaign, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hour {
    #[serde(rename = "v")]
    pub seq: u64,
    /// Receivers whose first time was in it.
    pub openers: u64,
    pub clickers: u64,
    pub left: u64,
    pub opens: Hits,
    pub clicks: Hits,
}

/// The view.
#[derive(Debug, Default)]
pub struct Responses;

fn person_row(campaign: Uuid, contact: Uuid) -> RowName {
    RowName::new(PEOPLE, person_partition(campaign, contact), Vec::new())
}

fn link_row(campaign: Uuid, number: u16) -> RowName {
    RowName::new(LINKS, campaign.to_string(), SortKey::new().u64(number.into(), Order::Asc).finish())
}

/// The hour of a time, as `2026-11-22T09`, and its month.
fn hour_row(campaign: Uuid, at: Micros) -> RowName {
    let text = at.to_string();
    let (month, hour) = (text.get(..7).unwrap_or_default(), text.get(..13).unwrap_or_default());
    RowName::new(HOURS, format!("{campaign} {month}"), hour)
}

/// The link a person may have followed. The one nobody sees is none of the author's.
fn followed(event: &ResponseEvent) -> Option<&MailClicked> {
    match event {
        ResponseEvent::Clicked(clicked) if clicked.link != HONEYPOT => Some(clicked),
        _ => None,
    }
}

/// What is new with a fact for its receiver.
#[derive(Clone, Copy, Debug, Default)]
struct News {
    opened: bool,
    machine_opened: bool,
    clicked: bool,
    machine_clicked: bool,
    left: bool,
    link: bool,
}

impl Person {
    fn apply(&mut self, event: &ResponseEvent, first: First) {
        match event {
            ResponseEvent::Opened(opened) => {
                self.opens.count(opened.class);
                let human = opened.class == ResponseClass::Human;
                let slot = if human { &mut self.opened } else { &mut self.machine_opened };
                slot.get_or_insert(first);
            }
            ResponseEvent::Clicked(clicked) => {
                self.clicks.count(clicked.class);
                if clicked.class != ResponseClass::Human {
                    self.machine_clicked.get_or_insert(first);
                    return;
                }
                self.clicked.get_or_insert(first);
                let known = self.links.iter().any(|(number, _)| *number == clicked.link);
                if !known && self.links.len() < REMEMBERED {
                    self.links.push((clicked.link, first.seq));
                }
            }
            ResponseEvent::Left(_) => _ = self.left.get_or_insert(first),
        }
    }

    /// What the fact at this position was the first of; the same whenever it is asked.
    fn news(&self, seq: u64, event: &ResponseEvent) -> News {
        let is = |first: &Option<First>| first.is_some_and(|first| first.seq == seq);
        News {
            opened: is(&self.opened),
            machine_opened: is(&self.machine_opened),
            clicked: is(&self.clicked),
            machine_clicked: is(&self.machine_clicked),
            left: is(&self.left),
            link: followed(event).is_some_and(|clicked| self.links.contains(&(clicked.link, seq))),
        }
    }
}

impl Totals {
    fn apply(&mut self, event: &ResponseEvent, news: News) {
        count(event, &mut self.opens, &mut self.clicks);
        self.openers += u64::from(news.opened);
        self.machine_openers += u64::from(news.machine_opened);
        self.clickers += u64::from(news.clicked);
        self.machine_clickers += u64::from(news.machine_clicked);
        self.left += u64::from(news.left);
    }
}

impl Hour {
    fn apply(&mut self, event: &ResponseEvent, news: News) {
        count(event, &mut self.opens, &mut self.clicks);
        self.openers += u64::from(news.opened);
        self.clickers += u64::from(news.clicked);
        self.left += u64::from(news.left);
    }
}

impl Link {
    fn apply(&mut self, clicked: &MailClicked, news: News) {
        if self.target.is_empty() {
            self.target.clone_from(&clicked.target);
        }
        self.varies |= self.target != clicked.target;
        self.clicks.count(clicked.class);
        self.people += u64::from(news.link);
    }
}

fn count(event: &ResponseEvent, opens: &mut Hits, clicks: &mut Hits) {
    match event {
        ResponseEvent::Opened(opened) => opens.count(opened.class),
        ResponseEvent::Clicked(clicked) => clicks.count(clicked.class),
        ResponseEvent::Left(_) => {}
    }
}

positioned![Person, Totals, Link, Hour];

impl Projection for Responses {
    fn name(&self) -> &'static str {
        RESPONSES
    }

    fn version(&self) -> u32 {
        1
    }

    fn family(&self) -> Family {
        Family::Facts
    }

    fn follows(&self, address: &Address) -> bool {
        address.context == ResponseEvent::CONTEXT && address.aggregate == ResponseEvent::AGGREGATE
    }

    fn reads(&self, event: &Recorded<AnyEvent>) -> Vec<RowName> {
        let Some(domain) = ResponseEvent::from_any(&event.event) else { return Vec::new() };
        let mail = domain.mail();
        let totals = RowName::new(TOTALS, mail.campaign.to_string(), Vec::new());
        let rows = [person_row(mail.campaign, mail.contact), totals, hour_row(mail.campaign, event.envelope.at)];
        rows.into_iter().chain(followed(domain).map(|clicked| link_row(mail.campaign, clicked.link))).collect()
    }

    fn apply(&self, event: &Recorded<AnyEvent>, rows: &mut Rows<'_>) -> Result<(), ProjectionError> {
        let refused = || ProjectionError::Event(format!("{} is not an event of {RESPONSES}", event.envelope.kind));
        let domain = ResponseEvent::from_any(&event.event).ok_or_else(refused)?;
        let (mail, seq, at) = (domain.mail(), event.seq, event.envelope.at);
        let person: Person = change(rows, person_row(mail.campaign, mail.contact), seq, |person: &mut Person| {
            person.apply(domain, First { seq, at });
        })?;
        let news = person.news(seq, domain);
        let totals = RowName::new(TOTALS, mail.campaign.to_string(), Vec::new());
        change(rows, totals, seq, |totals: &mut Totals| totals.apply(domain, news))?;
        change(rows, hour_row(mail.campaign, at), seq, |hour: &mut Hour| hour.apply(domain, news))?;
        if let Some(clicked) = followed(domain) {
            change(rows, link_row(mail.campaign, clicked.link), seq, |link: &mut Link| link.apply(clicked, news))?;
        }
        Ok(())
    }
}

impl Views {
    /// What these receivers of a campaign did, in their order; at most a page of the read store.
    pub async fn responses_of(
        &self,
        tenant: &TenantId,
        campaign: Uuid,
        contacts: &[Uuid],
    ) -> Result<Vec<Person>, ViewError> {
        receivers::people(self, RESPONSES, tenant, campaign, contacts).await
    }

    /// What all receivers of a campaign did.
    pub async fn response_totals(&self, tenant: &TenantId, campaign: Uuid) -> Result<Totals, ViewError> {
        receivers::totals(self, RESPONSES, tenant, campaign).await
    }

    /// The links of a campaign that were followed, by their numbers.
    pub async fn response_links(&self, tenant: &TenantId, campaign: Uuid) -> Result<Vec<(u16, Link)>, ViewError> {
        let table = self.serving(RESPONSES)?.generation().table(LINKS)?;
        let scan = Scan::new(table, tenant.shared(), campaign.to_string(), MAX_LINKS);
        let numbered = |stored: StoredRow| {
            let number = <[u8; 8]>::try_from(&stored.sort[..]).map_or(0, u64::from_be_bytes);
            Ok((u16::try_from(number).unwrap_or(u16::MAX), row(Some(stored))?))
        };
        self.store().scan(&scan).await?.rows.into_iter().map(numbered).collect()
    }

    /// The hours of a month (`2026-11`) in which something happened, in order.
    pub async fn response_hours(
        &self,
        tenant: &TenantId,
        campaign: Uuid,
        month: &str,
    ) -> Result<Vec<(String, Hour)>, ViewError> {
        let table = self.serving(RESPONSES)?.generation().table(HOURS)?;
        let scan = Scan::new(table, tenant.shared(), format!("{campaign} {month}"), MONTH);
        let hour = |stored: StoredRow| {
            let hour = String::from_utf8_lossy(&stored.sort).into_owned();
            Ok((hour, row(Some(stored))?))
        };
        self.store().scan(&scan).await?.rows.into_iter().map(hour).collect()
    }
}

#[cfg(test)]
mod tests;
