//! A tenant: one customer of the platform. Its subject name ([`crate::TenantId`]) is fixed; this is what it shows.

use crate::events;
use serde::{Deserialize, Serialize};

events! {
    /// What can happen to a tenant.
    pub enum TenantEvent {
        Created(TenantCreated) = "tenant.created" @ 1,
        Renamed(TenantRenamed) = "tenant.renamed" @ 1,
        HostsSet(TenantHostsSet) = "tenant.hosts_set" @ 1,
        PostalAddressSet(TenantPostalAddressSet) = "tenant.postal_address_set" @ 1,
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TenantCreated {
    /// As people read it; a company's name, not a person's.
    pub name: String,
    /// BCP 47, for example `de-DE`.
    pub locale: String,
    /// IANA name, for example `Europe/Berlin`.
    pub time_zone: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TenantRenamed {
    pub name: String,
}

/// The tenant's sites answer under these host names, whole list, lower case and in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TenantHostsSet {
    pub hosts: Vec<String>,
}

/// Where the tenant gets post; marketing mail shows it. A company's address, not a person's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TenantPostalAddressSet {
    /// Lines as on a letter; none: it has no address any more.
    pub lines: Vec<String>,
}
