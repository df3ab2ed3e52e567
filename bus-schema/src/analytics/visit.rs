//! A visit: one page of a site was asked for. No cookie, no address, no user agent: nothing leads to a person.

use crate::events;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

events! {
    /// The facts of the journal `visit`.
    pub enum VisitEvent {
        Visited(PageVisited) = "page.visited" @ 1,
    }
}

/// What the page was read on, as coarse as reports need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    Desktop,
    Mobile,
    Bot,
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PageVisited {
    pub site: String,
    /// As asked for, with a leading slash, without query and fragment.
    pub path: String,
    /// The page that answered; absent when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<Uuid>,
    /// The other site the visitor came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referrer_host: Option<String>,
    pub device: Device,
    /// How many visits this stands for: those that were the same in all of the above within a moment.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

fn is_once(times: &u32) -> bool {
    *times == 1
}
