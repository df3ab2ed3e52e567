//! Accounts as their administrators see them: who, with which roles, since when. No password, no network.

use crate::{
    record_view::{Happening, Record, RecordView},
    search::{Doc, FieldValue, TextPart, Weight},
};
use bus_schema::{
    KeyId, Keyring, Micros, Revealed, Sealed, TenantId,
    identity::{
        account::{AccountEvent, AccountPerson},
        role::Role,
    },
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use uuid::Uuid;

pub struct Accounts;

/// An account; who it is, is sealed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountRow {
    pub person: Sealed<AccountPerson>,
    pub roles: BTreeSet<Role>,
    pub disabled: bool,
    /// The last time the person signed in.
    pub signed_in_at: Option<Micros>,
    pub password_changed_at: Micros,
}

impl AccountRow {
    /// Who it is, `None` once the person's key is gone.
    pub fn reveal(&self, keys: &Keyring) -> Option<AccountPerson> {
        self.person.open(keys).ok().and_then(Revealed::known)
    }
}

impl RecordView for Accounts {
    const NAME: &'static str = "accounts";
    const VERSION: u32 = 1;
    type Event = AccountEvent;
    type Row = AccountRow;

    fn fold(row: Option<AccountRow>, event: &AccountEvent, happening: &Happening) -> Option<AccountRow> {
        if let AccountEvent::Created(created) = event {
            return Some(AccountRow {
                person: created.person.clone(),
                roles: created.roles.iter().copied().collect(),
                disabled: false,
                signed_in_at: None,
                password_changed_at: happening.at,
            });
        }
        let mut row = row?;
        match event {
            AccountEvent::RolesSet(set) => row.roles = set.roles.iter().copied().collect(),
            AccountEvent::Disabled(_) => row.disabled = true,
            AccountEvent::Enabled(_) => row.disabled = false,
            AccountEvent::LoggedIn(_) => row.signed_in_at = Some(happening.at),
            AccountEvent::PasswordChanged(_) => row.password_changed_at = happening.at,
            AccountEvent::Created(_)
            | AccountEvent::PasswordRehashed(_)
            | AccountEvent::LoginFailed(_)
            | AccountEvent::ResetAsked(_)
            | AccountEvent::Invited(_) => {}
        }
        Some(row)
    }

    fn keys(row: &AccountRow) -> Vec<KeyId> {
        vec![row.person.key()]
    }

    fn document(tenant: &TenantId, id: Uuid, record: &Record<AccountRow>, keys: &Keyring) -> Option<Doc> {
        let person = record.row.reveal(keys)?;
        let roles = record.row.roles.iter().map(|role| role.name().to_owned()).collect();
        let mut fields = vec![
            ("email".to_owned(), FieldValue::Str(person.email.clone())),
            ("name".to_owned(), FieldValue::Str(person.name.clone())),
            ("roles".to_owned(), FieldValue::Strs(roles)),
            ("disabled".to_owned(), FieldValue::Bool(record.row.disabled)),
            ("password_changed_at".to_owned(), FieldValue::Time(record.row.password_changed_at.0)),
            ("created_at".to_owned(), FieldValue::Time(record.created_at.0)),
            ("updated_at".to_owned(), FieldValue::Time(record.updated_at.0)),
        ];
        fields.extend(record.row.signed_in_at.map(|at| ("signed_in_at".to_owned(), FieldValue::Time(at.0))));
        Some(Doc {
            tenant: tenant.to_string(),
            collection: Self::NAME.to_owned(),
            id: id.to_string(),
            text: vec![
                TextPart { weight: Weight::Heading, text: person.name },
                TextPart { weight: Weight::Body, text: person.email },
            ],
            fields,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus_schema::{
        Actor, SealingKey,
        claim::ClaimHash,
        identity::account::{
            AccountCreated, AccountDisabled, AccountEnabled, LoggedIn, LoginFailed, PasswordChanged, PasswordHash,
            RolesSet,
        },
    };
    use std::sync::Arc;

    fn key() -> Arc<SealingKey> {
        Arc::new(SealingKey::new(KeyId(Uuid::from_u128(1)), [1; 32]))
    }

    fn happening(seq: u64) -> Happening {
        Happening { id: Uuid::nil(), seq, at: Micros(seq as i64), actor: Actor::System("test".into()) }
    }

    fn hash(text: &str) -> Sealed<PasswordHash> {
        Sealed::seal(&key(), "c:1", &PasswordHash(text.into())).unwrap()
    }

    fn folded(events: &[AccountEvent]) -> Option<AccountRow> {
        (1..).zip(events).fold(None, |row, (seq, event)| Accounts::fold(row, event, &happening(seq)))
    }

    fn created() -> AccountEvent {
        let person = AccountPerson { email: "ada@example.org".into(), name: "Ada".into() };
        let person = Sealed::seal(&key(), "c:0", &person).unwrap();
        AccountCreated { person, password: hash("$argon2id$secret"), roles: vec![Role::Editor] }.into()
    }

    #[test]
    fn an_account_is_folded_without_its_secrets() {
        let failed =
            LoginFailed { network: Some(ClaimHash("n".into())), known_network: false, failures: 1, locked_until: None }
                .into();
        let row = folded(&[
            created(),
            RolesSet { roles: vec![Role::Support, Role::Analyst] }.into(),
            LoggedIn { network: Some(ClaimHash("n".into())), new_network: true }.into(),
            PasswordChanged { password: hash("$argon2id$other") }.into(),
            AccountDisabled {}.into(),
            failed,
        ])
        .unwrap();
        assert_eq!(row.roles, BTreeSet::from([Role::Analyst, Role::Support]));
        assert!(row.disabled);
        assert_eq!((row.signed_in_at, row.password_changed_at), (Some(Micros(3)), Micros(4)));
        let Revealed::Known(person) = row.person.open(&Keyring::default().with(key())).unwrap() else {
            panic!("the key is there")
        };
        assert_eq!(person.name, "Ada");
        let stored = serde_json::to_string(&row).unwrap();
        for secret in [hash("$argon2id$secret"), hash("$argon2id$other")] {
            assert!(!stored.contains(serde_json::to_string(&secret).unwrap().trim_matches('"')));
        }
        assert_eq!(Accounts::fold(None, &AccountDisabled {}.into(), &happening(1)), None);
        assert!(!folded(&[created(), AccountDisabled {}.into(), AccountEnabled {}.into()]).unwrap().disabled);
    }

    #[test]
    fn an_erased_person_leaves_the_index() {
        let tenant = TenantId::try_new("demo").unwrap();
        let row = folded(&[created()]).unwrap();
        let record = Record { revision: 1, first: 1, created_at: Micros(1), updated_at: Micros(1), row };
        let doc = |keys: &Keyring| Accounts::document(&tenant, Uuid::nil(), &record, keys);
        assert!(doc(&Keyring::default()).is_none());
        let found = doc(&Keyring::default().with(key())).unwrap();
        assert!(found.fields.contains(&("roles".into(), FieldValue::Strs(vec!["editor".into()]))));
    }
}
