//! A key with which a program calls the API. Its token is shown once, when it is made; only the hash is kept.

use super::token::{KeyToken, NoRandomness, hex, same_hash, unhex};
use crate::{
    decider::{Ctx, Decider, Decision},
    rejections,
    writer::{Loaded, Meta, Receipt, WriteError, Writer},
};
use bus_schema::{
    Micros, TenantId,
    identity::{
        api_key::{ApiKeyCreated, ApiKeyEvent, ApiKeyRevoked},
        scope::{MAX_SCOPES, Scopes},
    },
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ApiKey {
    created: Option<ApiKeyCreated>,
    revoked: bool,
}

#[derive(Clone, Debug)]
pub enum ApiKeyCommand {
    /// `name` says what the key is for and holds no personal data. Whoever makes a key must hold its scopes
    /// (`Scopes::covers`); the caller checks that, because only it knows who asks.
    Create {
        name: String,
        scopes: Scopes,
        secret_hash: [u8; 32],
        expires_at: Option<Micros>,
    },
    Revoke,
}

rejections! {
    /// Why a command to a key is refused.
    pub enum ApiKeyRejection {
        Unknown: Missing, "api_key_not_found", "", "there is no such key";
        Exists: State, "api_key_exists", "", "there is such a key already";
        InvalidName: Invalid, "invalid_name", "/name", "a name has 1 to 100 characters and no control characters";
        InvalidScopes: Invalid, "invalid_scopes", "/scopes", "a key has 1 to 100 scopes";
        InvalidExpiry: Invalid, "invalid_expiry", "/expires_at", "a key expires in the future";
    }
}

impl ApiKey {
    pub fn created(&self) -> Option<&ApiKeyCreated> {
        self.created.as_ref()
    }

    pub fn is_revoked(&self) -> bool {
        self.revoked
    }

    /// Whether a token belongs to this key, in constant time.
    pub fn has_secret(&self, hash: &[u8; 32]) -> bool {
        let stored = self.created.as_ref().and_then(|created| unhex(&created.secret_hash));
        stored.is_some_and(|stored| same_hash(&stored, hash))
    }
}

impl Decider for ApiKey {
    type Event = ApiKeyEvent;
    type Command = ApiKeyCommand;
    type Rejection = ApiKeyRejection;

    fn decide(&self, command: &ApiKeyCommand, ctx: &Ctx) -> Result<Decision<ApiKeyEvent>, ApiKeyRejection> {
        use ApiKeyRejection as R;
        match command {
            ApiKeyCommand::Create { .. } if self.created.is_some() => Err(R::Exists),
            ApiKeyCommand::Create { name, scopes, secret_hash, expires_at } => {
                let name = name.trim();
                if !(1..=100).contains(&name.chars().count()) || name.chars().any(char::is_control) {
                    return Err(R::InvalidName);
                }
                if !(1..=MAX_SCOPES).contains(&scopes.len()) {
                    return Err(R::InvalidScopes);
                }
                if expires_at.is_some_and(|at| at <= ctx.now) {
                    return Err(R::InvalidExpiry);
                }
                Ok(Decision::event(ApiKeyCreated {
                    name: name.to_owned(),
                    scopes: scopes.clone(),
                    secret_hash: hex(secret_hash),
                    expires_at: *expires_at,
                }))
            }
            ApiKeyCommand::Revoke if self.created.is_none() => Err(R::Unknown),
            ApiKeyCommand::Revoke if self.revoked => Ok(Decision::nothing()),
            ApiKeyCommand::Revoke => Ok(Decision::event(ApiKeyRevoked {})),
        }
    }

    fn evolve(&mut self, event: &ApiKeyEvent) {
        match event {
            ApiKeyEvent::Created(created) => self.created = Some(created.clone()),
            ApiKeyEvent::Revoked(_) => self.revoked = true,
        }
    }

    fn creates(command: &ApiKeyCommand) -> bool {
        matches!(command, ApiKeyCommand::Create { .. })
    }

    fn claim_taken(_what: &'static str, _owner: &str) -> ApiKeyRejection {
        ApiKeyRejection::Exists
    }
}

/// A key that was made.
#[derive(Debug)]
pub struct MadeKey {
    pub receipt: Receipt<Loaded<ApiKey>>,
    pub key: uuid::Uuid,
    /// To be shown once. `None` for a retried request: the key was made, its token went out with the first answer.
    pub token: Option<KeyToken>,
}

/// Makes a key with a new secret. Its id follows from the command, so a retry makes no second one.
pub async fn create(
    writer: &Writer,
    tenant: &TenantId,
    meta: &Meta,
    name: &str,
    scopes: &Scopes,
    expires_at: Option<Micros>,
) -> Result<MadeKey, ApiKeyError> {
    let key = meta.command.aggregate(0);
    let token = KeyToken::random(tenant, key)?;
    let command =
        ApiKeyCommand::Create { name: name.to_owned(), scopes: scopes.clone(), secret_hash: token.hash(), expires_at };
    let receipt = writer.execute::<ApiKey>(tenant, key, meta, &command).await?;
    let token = (!receipt.replayed).then_some(token);
    Ok(MadeKey { receipt, key, token })
}

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeyError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::{NOW, given};

    fn command(name: &str, scopes: Scopes, expires_at: Option<Micros>) -> ApiKeyCommand {
        ApiKeyCommand::Create { name: name.into(), scopes, secret_hash: [0xab; 32], expires_at }
    }

    fn scopes() -> Scopes {
        Scopes::parse(["crm.*:read"]).unwrap()
    }

    fn created() -> ApiKeyEvent {
        let secret_hash = "ab".repeat(32);
        ApiKeyCreated { name: "sync".into(), scopes: scopes(), secret_hash, expires_at: None }.into()
    }

    #[test]
    fn a_key_is_made_with_its_hash_only() {
        let state = given::<ApiKey>([]).when(command(" sync ", scopes(), None)).then([created()]);
        assert!(state.has_secret(&[0xab; 32]) && !state.has_secret(&[0xac; 32]));
        assert!(!ApiKey::default().has_secret(&[0; 32]));
        given::<ApiKey>([created()]).when(command("sync", scopes(), None)).then_rejected(ApiKeyRejection::Exists);
    }

    #[test]
    fn names_scopes_and_expiry_are_checked() {
        for bad in ["", " ", "a\nb", &"x".repeat(101)] {
            given::<ApiKey>([]).when(command(bad, scopes(), None)).then_rejected(ApiKeyRejection::InvalidName);
        }
        let none = command("x", Scopes::default(), None);
        given::<ApiKey>([]).when(none).then_rejected(ApiKeyRejection::InvalidScopes);
        given::<ApiKey>([]).when(command("x", scopes(), Some(NOW))).then_rejected(ApiKeyRejection::InvalidExpiry);
    }

    #[test]
    fn a_key_is_revoked_once() {
        let state = given::<ApiKey>([created()]).when(ApiKeyCommand::Revoke).then([ApiKeyRevoked {}.into()]);
        assert!(state.is_revoked());
        given::<ApiKey>([created(), ApiKeyRevoked {}.into()]).when(ApiKeyCommand::Revoke).then([]);
        given::<ApiKey>([]).when(ApiKeyCommand::Revoke).then_rejected(ApiKeyRejection::Unknown);
    }
}
