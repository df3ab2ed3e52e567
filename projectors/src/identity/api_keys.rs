//! Keys of programs as their administrators see them: what for, with which scopes. Neither the secret nor its hash.

use crate::{
    record_view::{Happening, Record, RecordView},
    search::{Doc, FieldValue, TextPart, Weight},
};
use bus_schema::{
    Actor, Keyring, Micros, TenantId,
    identity::{api_key::ApiKeyEvent, scope::Scopes},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub struct ApiKeys;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApiKeyRow {
    pub name: String,
    pub scopes: Scopes,
    pub expires_at: Option<Micros>,
    pub revoked_at: Option<Micros>,
    /// Who made it.
    pub created_by: Actor,
}

impl RecordView for ApiKeys {
    const NAME: &'static str = "api_keys";
    const VERSION: u32 = 1;
    type Event = ApiKeyEvent;
    type Row = ApiKeyRow;

    fn fold(row: Option<ApiKeyRow>, event: &ApiKeyEvent, happening: &Happening) -> Option<ApiKeyRow> {
        match event {
            ApiKeyEvent::Created(created) => Some(ApiKeyRow {
                name: created.name.clone(),
                scopes: created.scopes.clone(),
                expires_at: created.expires_at,
                revoked_at: None,
                created_by: happening.actor.clone(),
            }),
            ApiKeyEvent::Revoked(_) => row.map(|row| ApiKeyRow { revoked_at: Some(happening.at), ..row }),
        }
    }

    fn document(tenant: &TenantId, id: Uuid, record: &Record<ApiKeyRow>, _keys: &Keyring) -> Option<Doc> {
        let row = &record.row;
        let mut fields = vec![
            ("name".to_owned(), FieldValue::Str(row.name.clone())),
            ("scopes".to_owned(), FieldValue::Strs(row.scopes.iter().map(ToString::to_string).collect())),
            ("revoked".to_owned(), FieldValue::Bool(row.revoked_at.is_some())),
            ("created_at".to_owned(), FieldValue::Time(record.created_at.0)),
            ("updated_at".to_owned(), FieldValue::Time(record.updated_at.0)),
        ];
        fields.extend(row.expires_at.map(|at| ("expires_at".to_owned(), FieldValue::Time(at.0))));
        Some(Doc {
            tenant: tenant.to_string(),
            collection: Self::NAME.to_owned(),
            id: id.to_string(),
            text: vec![TextPart { weight: Weight::Heading, text: row.name.clone() }],
            fields,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus_schema::identity::api_key::{ApiKeyCreated, ApiKeyRevoked};

    #[test]
    fn a_key_is_folded_without_its_hash() {
        let happening =
            |seq: u64| Happening { id: Uuid::nil(), seq, at: Micros(seq as i64), actor: Actor::Account(Uuid::nil()) };
        let scopes = Scopes::parse(["crm.*:read"]).unwrap();
        let secret_hash = "ab".repeat(32);
        let created = ApiKeyCreated {
            name: "sync".into(),
            scopes,
            secret_hash: secret_hash.clone(),
            expires_at: Some(Micros(9)),
        };
        let row = ApiKeys::fold(None, &created.into(), &happening(1)).unwrap();
        assert!(!serde_json::to_string(&row).unwrap().contains(&secret_hash));
        assert_eq!((row.created_by.clone(), row.revoked_at), (Actor::Account(Uuid::nil()), None));
        let revoked = ApiKeyEvent::from(ApiKeyRevoked {});
        assert_eq!(ApiKeys::fold(None, &revoked, &happening(2)), None);
        assert_eq!(ApiKeys::fold(Some(row), &revoked, &happening(2)).unwrap().revoked_at, Some(Micros(2)));
    }
}
