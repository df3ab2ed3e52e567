//! Where an event lives on the bus: `ev.<cell>.<tenant>.<context>.<aggregate>.<id>`.
//!
//! The subject *is* the aggregate: no event-type token, so an exact-subject expectation is optimistic concurrency and
//! a permission or an export is a subject prefix (design decision 3). Facts use `fx` and a bucket or their own id as
//! the last token. A claim is an aggregate of the context `claim`.

use crate::ids::{Cell, InvalidName, TenantId};
use std::fmt;
use uuid::Uuid;

/// The longest token accepted from outside.
const MAX_TOKEN: usize = 64;

/// The two families of subjects, each with its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// Decided events: stream `EV_<cell>`.
    Events,
    /// Facts, append-only and decided by nobody: stream `FX_<cell>`.
    Facts,
}

impl Family {
    pub fn token(self) -> &'static str {
        match self {
            Self::Events => "ev",
            Self::Facts => "fx",
        }
    }

    /// The stream that holds this family of a cell.
    pub fn stream(self, cell: &Cell) -> String {
        format!("{}_{cell}", self.token().to_uppercase())
    }

    /// Every subject of a tenant, or of the whole cell.
    pub fn filter(self, cell: &Cell, tenant: Option<&TenantId>) -> String {
        match tenant {
            Some(tenant) => format!("{}.{cell}.{tenant}.>", self.token()),
            None => format!("{}.{cell}.>", self.token()),
        }
    }
}

/// The tokens after the tenant: which aggregate of which context.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    pub context: String,
    pub aggregate: String,
    pub id: String,
}

impl Address {
    pub fn new(context: &str, aggregate: &str, id: impl fmt::Display) -> Self {
        Self { context: context.into(), aggregate: aggregate.into(), id: id.to_string() }
    }

    /// The id as a UUID; `None` for claims and facts, whose ids are hashes or buckets.
    pub fn uuid(&self) -> Option<Uuid> {
        Uuid::parse_str(&self.id).ok()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.context, self.aggregate, self.id)
    }
}

/// A whole subject.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    pub family: Family,
    pub cell: Cell,
    pub tenant: TenantId,
    pub address: Address,
}

impl Subject {
    pub fn event(cell: &Cell, tenant: &TenantId, address: Address) -> Self {
        Self { family: Family::Events, cell: cell.clone(), tenant: tenant.clone(), address }
    }

    pub fn fact(cell: &Cell, tenant: &TenantId, address: Address) -> Self {
        Self { family: Family::Facts, cell: cell.clone(), tenant: tenant.clone(), address }
    }

    pub fn parse(text: &str) -> Result<Self, InvalidSubject> {
        let fail = || InvalidSubject { subject: text.chars().take(120).collect() };
        let mut tokens = text.split('.');
        let mut next = || tokens.next().filter(|t| is_token(t)).ok_or_else(fail);
        let family = match next()? {
            "ev" => Family::Events,
            "fx" => Family::Facts,
            _ => return Err(fail()),
        };
        let name = |_: InvalidName| fail();
        let cell = Cell::try_new(next()?).map_err(name)?;
        let tenant = TenantId::try_new(next()?).map_err(name)?;
        let address = Address { context: next()?.into(), aggregate: next()?.into(), id: next()?.into() };
        if tokens.next().is_some() {
            return Err(fail());
        }
        Ok(Self { family, cell, tenant, address })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.family.token(), self.cell, self.tenant, self.address)
    }
}

/// Whether a text can be one token of a subject: no separator, no wildcard, no space, bounded.
pub fn is_token(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !text.is_empty() && text.len() <= MAX_TOKEN && text.bytes().all(allowed)
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{subject:?} is not a subject of the form ev|fx.<cell>.<tenant>.<context>.<aggregate>.<id>")]
pub struct InvalidSubject {
    subject: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_round_trip_and_wildcards_are_refused() {
        let text = "ev.eu1.demo.crm.contact.0198c0de-0000-7000-8000-000000000001";
        let subject = Subject::parse(text).unwrap();
        assert_eq!(subject.to_string(), text);
        assert!(subject.address.uuid().is_some());
        for bad in [
            "ev.eu1.demo.crm.contact",
            "ev.eu1.demo.crm.contact.*",
            "ev.eu1.demo.crm.contact.a.b",
            "xx.eu1.demo.crm.contact.a",
            "ev.eu1.De mo.crm.contact.a",
            "",
        ] {
            assert!(Subject::parse(bad).is_err(), "{bad:?} must be refused");
        }
    }
}
