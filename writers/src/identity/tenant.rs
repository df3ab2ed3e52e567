//! A tenant: what it is called and where its sites answer. Its id follows from its fixed name, so there is one of them.

use crate::{
    decider::{Ctx, Decider, Decision},
    rejections,
    writer::{Loaded, Meta, Receipt, WriteError, Writer},
};
use bus_schema::{
    TenantId,
    identity::tenant::{TenantCreated, TenantEvent, TenantHostsSet, TenantPostalAddressSet, TenantRenamed},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Characters of a tenant's display name.
pub const MAX_NAME: usize = 100;
/// Lines of a postal address.
pub const MAX_ADDRESS_LINES: usize = 6;
/// Characters of one of them.
pub const MAX_ADDRESS_LINE: usize = 100;
/// Host names of one tenant.
pub const MAX_HOSTS: usize = 50;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tenant {
    /// Empty: not created.
    name: String,
    locale: String,
    time_zone: String,
    hosts: Vec<String>,
    #[serde(default)]
    postal_address: Vec<String>,
}

#[derive(Clone, Debug)]
pub enum TenantCommand {
    Create {
        name: String,
        /// BCP 47. Only its form is checked.
        locale: String,
        /// IANA name. Only its form is checked: the list of zones changes, a decision does not.
        time_zone: String,
    },
    Rename {
        name: String,
    },
    SetHosts {
        hosts: Vec<String>,
    },
    /// Lines as on a letter; none takes it away.
    SetPostalAddress {
        lines: Vec<String>,
    },
}

rejections! {
    /// Why a command to a tenant is refused.
    pub enum TenantRejection {
        Unknown: Missing, "tenant_not_found", "", "there is no such tenant";
        Exists: State, "tenant_exists", "", "there is a tenant of this name already";
        InvalidName: Invalid, "invalid_name", "/name", "a name has 1 to 100 characters and no control characters";
        InvalidLocale: Invalid, "invalid_locale", "/locale", "a locale is a BCP 47 tag, for example de or de-DE";
        InvalidTimeZone: Invalid, "invalid_time_zone", "/time_zone", "a time zone is an IANA name, for example Europe/Berlin or UTC";
        InvalidHost { index: usize }: Invalid, "invalid_host", "/hosts/{index}", "a host name has two or more labels of a-z, 0-9 and '-' (other scripts in punycode), at most 253 characters, no port and no wildcard";
        InvalidPostalAddress: Invalid, "invalid_postal_address", "/lines", "a postal address has at most 6 lines of at most 100 characters, without control characters";
        TooManyHosts: Invalid, "too_many_hosts", "/hosts", "a tenant has at most 50 host names";
    }
}

impl Tenant {
    pub fn exists(&self) -> bool {
        !self.name.is_empty()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn locale(&self) -> &str {
        &self.locale
    }

    pub fn time_zone(&self) -> &str {
        &self.time_zone
    }

    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// Lines as on a letter; empty when none was given.
    pub fn postal_address(&self) -> &[String] {
        &self.postal_address
    }
}

impl Decider for Tenant {
    type Event = TenantEvent;
    type Command = TenantCommand;
    type Rejection = TenantRejection;

    fn decide(&self, command: &TenantCommand, _ctx: &Ctx) -> Result<Decision<TenantEvent>, TenantRejection> {
        use TenantRejection as R;
        match command {
            TenantCommand::Create { name, locale, time_zone } => {
                if self.exists() {
                    return Err(R::Exists);
                }
                let name = valid_name(name)?;
                if !is_locale(locale) {
                    return Err(R::InvalidLocale);
                }
                if !is_time_zone(time_zone) {
                    return Err(R::InvalidTimeZone);
                }
                Ok(Decision::event(TenantCreated { name, locale: locale.clone(), time_zone: time_zone.clone() }))
            }
            _ if !self.exists() => Err(R::Unknown),
            TenantCommand::Rename { name } => {
                let name = valid_name(name)?;
                if name == self.name {
                    return Ok(Decision::nothing());
                }
                Ok(Decision::event(TenantRenamed { name }))
            }
            TenantCommand::SetHosts { hosts } => {
                if hosts.len() > MAX_HOSTS {
                    return Err(R::TooManyHosts);
                }
                let hosts: BTreeSet<String> = hosts
                    .iter()
                    .enumerate()
                    .map(|(index, host)| normal_host(host).ok_or(R::InvalidHost { index }))
                    .collect::<Result<_, _>>()?;
                let hosts: Vec<String> = hosts.into_iter().collect();
                if hosts == self.hosts {
                    return Ok(Decision::nothing());
                }
                Ok(Decision::event(TenantHostsSet { hosts }))
            }
            TenantCommand::SetPostalAddress { lines } => {
                let lines: Vec<String> =
                    lines.iter().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
                let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
                let fits = |line: &String| line.chars().count() <= MAX_ADDRESS_LINE && !line.chars().any(breaks);
                if lines.len() > MAX_ADDRESS_LINES || !lines.iter().all(fits) {
                    return Err(R::InvalidPostalAddress);
                }
                if lines == self.postal_address {
                    return Ok(Decision::nothing());
                }
                Ok(Decision::event(TenantPostalAddressSet { lines }))
            }
        }
    }

    fn evolve(&mut self, event: &TenantEvent) {
        match event {
            TenantEvent::Created(created) => {
                self.name.clone_from(&created.name);
                self.locale.clone_from(&created.locale);
                self.time_zone.clone_from(&created.time_zone);
            }
            TenantEvent::Renamed(renamed) => self.name.clone_from(&renamed.name),
            TenantEvent::HostsSet(set) => self.hosts.clone_from(&set.hosts),
            TenantEvent::PostalAddressSet(set) => self.postal_address.clone_from(&set.lines),
        }
    }

    fn creates(command: &TenantCommand) -> bool {
        matches!(command, TenantCommand::Create { .. })
    }

    fn claim_taken(_what: &'static str, _owner: &str) -> TenantRejection {
        TenantRejection::Exists
    }
}

/// Where a tenant's own aggregate is found.
pub async fn tenant_aggregate(writer: &Writer, tenant: &TenantId) -> Result<Uuid, WriteError> {
    Ok(writer.tenant_key(tenant).await?.derived_id("tenant", tenant.as_str()))
}

/// Founds a tenant: first its key, without which nothing can be written, then the tenant. A crash between the two
/// leaves a key and no tenant; founding again goes on from there.
pub async fn found(
    writer: &Writer,
    tenant: &TenantId,
    meta: &Meta,
    create: &TenantCommand,
) -> Result<(Uuid, Receipt<Loaded<Tenant>>), WriteError> {
    writer.keys().create_tenant(tenant).await?;
    let id = tenant_aggregate(writer, tenant).await?;
    Ok((id, writer.execute::<Tenant>(tenant, id, meta, create).await?))
}

fn valid_name(name: &str) -> Result<String, TenantRejection> {
    let name = name.trim();
    let fits = (1..=MAX_NAME).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    fits.then(|| name.to_owned()).ok_or(TenantRejection::InvalidName)
}

/// The form of a BCP 47 tag: a language of two or three letters, then parts of one to eight letters or digits.
fn is_locale(text: &str) -> bool {
    let mut parts = text.split('-');
    let language =
        parts.next().is_some_and(|part| (2..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_lowercase()));
    let rest = parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()));
    text.len() <= 35 && language && rest
}

fn is_time_zone(text: &str) -> bool {
    let part_ok = |part: &str| {
        part.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-".contains(&b))
    };
    text.len() <= 64 && text.split('/').count() <= 3 && text.split('/').all(part_ok)
}

/// A host name in lower case without the final dot. An address of digits is no host name.
fn normal_host(host: &str) -> Option<String> {
    let host = host.trim().trim_end_matches('.').to_ascii_lowercase();
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let top_ok = host.rsplit('.').next().is_some_and(|top| top.bytes().any(|b| b.is_ascii_lowercase()));
    let fits = host.len() <= 253 && host.contains('.') && host.split('.').all(label_ok) && top_ok;
    fits.then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventStore, backend::memory::MemoryStore, harness::given};
    use bus_schema::{Cell, CommandId, keys::KeyDirectory, time::Clock};

    fn create(name: &str) -> TenantCommand {
        TenantCommand::Create { name: name.into(), locale: "de-DE".into(), time_zone: "Europe/Berlin".into() }
    }

    fn created() -> TenantEvent {
        TenantCreated { name: "Demo".into(), locale: "de-DE".into(), time_zone: "Europe/Berlin".into() }.into()
    }

    #[test]
    fn a_tenant_is_created_once_and_renamed() {
        given::<Tenant>([]).when(create(" Demo ")).then([created()]);
        given::<Tenant>([created()]).when(create("Demo")).then_rejected(TenantRejection::Exists);
        let rename = |name: &str| TenantCommand::Rename { name: name.into() };
        given::<Tenant>([]).when(rename("x")).then_rejected(TenantRejection::Unknown);
        given::<Tenant>([created()]).when(rename("Demo")).then([]);
        given::<Tenant>([created()]).when(rename("New")).then([TenantRenamed { name: "New".into() }.into()]);
        given::<Tenant>([created()]).when(rename(" ")).then_rejected(TenantRejection::InvalidName);
        given::<Tenant>([]).when(create(&"x".repeat(101))).then_rejected(TenantRejection::InvalidName);
    }

    #[test]
    fn locales_and_zones_have_their_form() {
        let with = |locale: &str, zone: &str| TenantCommand::Create {
            name: "x".into(),
            locale: locale.into(),
            time_zone: zone.into(),
        };
        for bad in ["", "d", "DE", "de_DE", "de-", "de--DE", "de-aaaaaaaaa"] {
            given::<Tenant>([]).when(with(bad, "UTC")).then_rejected(TenantRejection::InvalidLocale);
        }
        for bad in ["", "/", "Europe/", "../etc", "Europe/Berlin/a/b", "a b"] {
            given::<Tenant>([]).when(with("de", bad)).then_rejected(TenantRejection::InvalidTimeZone);
        }
        for good in ["UTC", "Etc/GMT+5", "America/Argentina/Buenos_Aires"] {
            assert!(is_time_zone(good), "{good}");
        }
    }

    #[test]
    fn hosts_are_checked_sorted_and_set_whole() {
        let set = |hosts: &[&str]| TenantCommand::SetHosts { hosts: hosts.iter().map(|h| (*h).into()).collect() };
        let hosts_set: TenantEvent =
            TenantHostsSet { hosts: vec!["a.example.org".into(), "www.example.org".into()] }.into();
        let command = set(&["WWW.example.org.", "a.example.org", "www.example.org"]);
        given::<Tenant>([created()]).when(command.clone()).then([hosts_set.clone()]);
        given::<Tenant>([created(), hosts_set]).when(command).then([]);
        for bad in ["", "localhost", "*.x.org", "x.org:80", "192.0.2.1", "a..b", "-a.org", "müller.de", "x.org/"] {
            let command = set(&["a.org", bad]);
            given::<Tenant>([created()]).when(command).then_rejected(TenantRejection::InvalidHost { index: 1 });
        }
        let many = TenantCommand::SetHosts { hosts: (0..=MAX_HOSTS).map(|i| format!("a{i}.org")).collect() };
        given::<Tenant>([created()]).when(many).then_rejected(TenantRejection::TooManyHosts);
        given::<Tenant>([]).when(set(&["a.org"])).then_rejected(TenantRejection::Unknown);
    }

    #[test]
    fn a_postal_address_has_lines_and_can_be_taken_away() {
        let set =
            |lines: &[&str]| TenantCommand::SetPostalAddress { lines: lines.iter().map(|l| (*l).into()).collect() };
        let event = |lines: &[&str]| -> TenantEvent {
            TenantPostalAddressSet { lines: lines.iter().map(|line| (*line).into()).collect() }.into()
        };
        let address = event(&["Garden Ltd", "1 Example Street"]);
        given::<Tenant>([created()]).when(set(&[" Garden Ltd", "", "1 Example Street"])).then([address.clone()]);
        given::<Tenant>([created(), address.clone()]).when(set(&["Garden Ltd", "1 Example Street"])).then([]);
        let state = given::<Tenant>([created(), address]).when(set(&[])).then([event(&[])]);
        assert!(state.postal_address().is_empty());
        for bad in [vec!["a\nb"], vec!["x"; 7], vec![&*"x".repeat(101)]] {
            given::<Tenant>([created()]).when(set(&bad)).then_rejected(TenantRejection::InvalidPostalAddress);
        }
        given::<Tenant>([]).when(set(&["a"])).then_rejected(TenantRejection::Unknown);
    }

    #[tokio::test]
    async fn founding_makes_the_key_and_the_tenant_once() {
        let store = EventStore::Memory(MemoryStore::default());
        let writer = Writer::new(Cell::try_new("eu1").unwrap(), store, KeyDirectory::in_memory(), Clock::System);
        let name = TenantId::try_new("demo").unwrap();
        assert!(matches!(tenant_aggregate(&writer, &name).await, Err(WriteError::NoTenant(_))));
        let command = CommandId::random();
        let (id, first) = found(&writer, &name, &Meta::system("test", command), &create("Demo")).await.unwrap();
        assert_eq!(tenant_aggregate(&writer, &name).await.unwrap(), id);
        assert_eq!((first.value.state.name(), first.value.state.locale()), ("Demo", "de-DE"));
        let (_, again) = found(&writer, &name, &Meta::system("test", command), &create("Demo")).await.unwrap();
        assert!(again.replayed);
        let other = found(&writer, &name, &Meta::system("test", CommandId::random()), &create("Demo")).await;
        assert!(matches!(other, Err(WriteError::Rejected(rejected)) if rejected.code == "tenant_exists"));
    }
}
