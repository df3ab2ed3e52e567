use super::*;
use crate::identity::{
    account::AccountCommand,
    api_key::{self, ApiKeyCommand},
    session,
    testing::{EMAIL, PASSWORD, World, meta},
};
use bus_schema::identity::{role::Role, session::CloseReason};

async fn make_key(world: &World, expires_in: Option<i64>) -> (Uuid, String) {
    let scopes = Scopes::parse(["crm.*:read"]).unwrap();
    let expires_at = expires_in.map(|seconds| world.writer.clock().now().plus_seconds(seconds));
    let made = api_key::create(&world.writer, &world.tenant, &meta(), "sync", &scopes, expires_at).await.unwrap();
    (made.key, made.token.unwrap().expose())
}

async fn revoke(world: &World, key: Uuid) {
    world.writer.execute::<ApiKey>(&world.tenant, key, &meta(), &ApiKeyCommand::Revoke).await.unwrap();
}

#[tokio::test]
async fn a_key_opens_what_its_scopes_say_until_it_is_revoked() {
    let (world, elsewhere) = {
        let world = World::new().await;
        (world.another(), world)
    };
    let (key, token) = make_key(&world, None).await;
    for place in [&world, &elsewhere] {
        let (found, scopes) = place.key(&token).await.unwrap();
        assert!(found == key && scopes.allows("crm.contact:read") && !scopes.allows("crm.contact:write"));
    }
    revoke(&world, key).await;
    assert_eq!(world.key(&token).await, Err("key_revoked"), "at once where it was revoked");
    tokio::time::sleep(MAX_AGE).await;
    assert_eq!(elsewhere.key(&token).await, Err("key_revoked"), "soon everywhere");
}

#[tokio::test]
async fn wrong_foreign_and_expired_keys_open_nothing() {
    let world = World::new().await;
    let (_, token) = make_key(&world, Some(60)).await;
    let forged = KeyToken::random(&world.tenant, KeyToken::parse(&token).unwrap().key).unwrap().expose();
    let made_up = KeyToken::random(&world.tenant, Uuid::from_u128(1)).unwrap().expose();
    let foreign = token.replacen("_demo_", "_other_", 1);
    for bad in ["", "Bearer x", &forged, &made_up, &foreign, &token.to_uppercase(), &world.token().await] {
        assert_eq!(world.key(bad).await, Err("invalid_token"), "{bad}");
    }
    world.writer.clock().advance_seconds(59);
    assert!(world.key(&token).await.is_ok());
    world.writer.clock().advance_seconds(1);
    assert_eq!(world.key(&token).await, Err("key_expired"));
}

#[tokio::test]
async fn a_retried_creation_makes_one_key_and_shows_its_token_once() {
    let world = World::new().await;
    let (meta, scopes) = (meta(), Scopes::parse(["*"]).unwrap());
    let make = async || api_key::create(&world.writer, &world.tenant, &meta, "sync", &scopes, None).await.unwrap();
    let (first, second) = (make().await, make().await);
    assert_eq!((first.key, world.count("api_key.created")), (second.key, 1));
    assert!(first.token.is_some() && second.token.is_none());
}

#[tokio::test]
async fn a_session_ends_when_it_expires_and_when_it_is_closed() {
    let world = World::new().await;
    let token = world.token().await;
    world.writer.clock().advance_seconds(session::LIFETIME_SECONDS - 1);
    assert!(world.session(&token).await.is_ok());
    world.writer.clock().advance_seconds(1);
    assert_eq!(world.session(&token).await, Err("session_expired"));
    let signed_in = world.try_sign_in(EMAIL, PASSWORD, None).await.unwrap();
    let token = signed_in.token.expose();
    assert!(world.session(&token).await.is_ok());
    session::close(&world.writer, &signed_in.token, &meta(), CloseReason::LoggedOut).await.unwrap();
    assert_eq!(world.session(&token).await, Err("session_ended"));
}

#[tokio::test]
async fn what_happens_to_the_account_counts_with_the_next_request() {
    let world = World::new().await;
    let token = world.token().await;
    assert!(!world.session(&token).await.unwrap().1.allows("shop.order:write"));
    world.account(&AccountCommand::SetRoles { roles: vec![Role::Support] }).await;
    let (_, scopes) = world.session(&token).await.unwrap();
    assert!(scopes.allows("shop.order:write") && !scopes.allows("mail.campaign:send"));
    world.account(&AccountCommand::Disable).await;
    assert_eq!(world.session(&token).await, Err("account_disabled"));
    world.account(&AccountCommand::Enable).await;
    assert!(world.session(&token).await.is_ok());
}

#[tokio::test]
async fn made_up_and_foreign_session_tokens_open_nothing() {
    let world = World::new().await;
    let token = world.token().await;
    let made_up = SessionToken::random(&world.tenant).unwrap().expose();
    let foreign = token.replacen("_demo_", "_other_", 1);
    let (_, key) = make_key(&world, None).await;
    for bad in ["", "ms_", &made_up, &foreign, &key, &format!("{token}A")] {
        assert_eq!(world.session(bad).await, Err("invalid_token"), "{bad}");
    }
    let other = TenantId::try_new("other").unwrap();
    assert!(authenticate_session(&world.writer, &other, &token).await.is_err());
}
