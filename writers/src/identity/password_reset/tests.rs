use super::*;
use crate::identity::testing::{EMAIL, PASSWORD, World, meta};
use bus_schema::identity::account::AccountEvent;

const NEXT: &str = "Another-9-tulip";

/// The token of the newest link somebody asked for, as the mail of it would have it.
async fn asked(world: &World) -> String {
    ask(&world.writer, &world.tenant, " ADA@example.org", &meta()).await.unwrap();
    token(world, world.writer.clock().now().plus_seconds(3_600)).await
}

async fn token(world: &World, expires_at: Micros) -> String {
    let account = world.writer.load::<Account>(&world.tenant, world.ada).await.unwrap();
    let (_, count) = account.state.password().unwrap();
    let key = world.writer.tenant_key(&world.tenant).await.unwrap();
    ResetLink { tenant: world.tenant.clone(), account: world.ada, expires_at }.token(&key, count)
}

async fn redeemed(world: &World, token: &str, password: &str) -> Result<(), String> {
    let passwords = world.sign_in.passwords();
    match redeem(&world.writer, passwords, token, password, &meta()).await {
        Ok((account, _)) => {
            assert_eq!(account, world.ada);
            Ok(())
        }
        Err(AccountError::Write(WriteError::Rejected(rejected))) => Err(rejected.code.to_owned()),
        Err(other) => panic!("{other}"),
    }
}

fn refused(code: &str) -> Result<(), String> {
    Err(code.to_owned())
}

#[tokio::test]
async fn a_link_works_once_and_ends_sessions_and_other_links() {
    let world = World::new().await;
    let session = world.try_sign_in(EMAIL, PASSWORD, None).await.unwrap().token.expose();
    let (one, two) = (asked(&world).await, token(&world, world.writer.clock().now().plus_seconds(60)).await);
    assert!(check(&world.writer, &one).await.is_ok());
    assert_eq!(redeemed(&world, &one, "short").await, refused("password_too_short"));
    assert_eq!(redeemed(&world, &one, NEXT).await, Ok(()));
    assert_eq!(redeemed(&world, &one, "Third-7-tulips").await, refused("reset_not_valid"));
    assert_eq!(redeemed(&world, &two, "Third-7-tulips").await, refused("reset_not_valid"));
    assert!(world.session(&session).await.is_err(), "sessions of before are over");
    assert!(world.try_sign_in(EMAIL, PASSWORD, None).await.is_err());
    world.try_sign_in(EMAIL, NEXT, None).await.unwrap();
}

#[tokio::test]
async fn of_two_who_come_at_once_one_gets_in() {
    let world = World::new().await;
    let token = asked(&world).await;
    let (one, two) =
        tokio::join!(redeemed(&world, &token, "First-1-tulips"), redeemed(&world, &token, "Second-2-tulips"));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
}

#[tokio::test]
async fn a_link_ends_with_its_hour_and_cannot_be_forged() {
    let world = World::new().await;
    let token = asked(&world).await;
    let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
    for at in 0..bytes.len() {
        let mut forged = bytes.clone();
        forged[at] ^= 1;
        assert!(check(&world.writer, &URL_SAFE_NO_PAD.encode(&forged)).await.is_err(), "byte {at}");
        assert!(check(&world.writer, &URL_SAFE_NO_PAD.encode(&bytes[..at])).await.is_err(), "cut at {at}");
    }
    for bad in ["", "!", "AA", &"A".repeat(300)] {
        assert_eq!(redeemed(&world, bad, NEXT).await, refused("reset_not_valid"));
    }
    let disable = AccountCommand::Disable;
    world.writer.execute::<Account>(&world.tenant, world.ada, &meta(), &disable).await.unwrap();
    assert_eq!(redeemed(&world, &token, NEXT).await, refused("reset_not_valid"), "a disabled account stays shut");
    world.writer.execute::<Account>(&world.tenant, world.ada, &meta(), &AccountCommand::Enable).await.unwrap();
    world.writer.clock().advance_seconds(3_599);
    assert!(check(&world.writer, &token).await.is_ok());
    world.writer.clock().advance_seconds(1);
    assert_eq!(redeemed(&world, &token, NEXT).await, refused("reset_not_valid"));
}

#[tokio::test]
async fn asking_is_recorded_now_and_then_and_without_a_secret() {
    let world = World::new().await;
    let count = || world.log.events().iter().filter(|event| event.envelope.kind == "account.reset_asked").count();
    let token = asked(&world).await;
    asked(&world).await;
    assert_eq!(count(), 1, "one mail for now");
    world.writer.clock().advance_seconds(300);
    asked(&world).await;
    assert_eq!(count(), 2);
    let nobody = ask(&world.writer, &world.tenant, "nobody@example.org", &meta()).await;
    assert!(matches!(nobody, Err(WriteError::Rejected(rejected)) if rejected.code == "account_not_found"));
    for event in world.log.events() {
        let secret = &token.as_bytes()[token.len() - 20..];
        assert!(!event.body.windows(secret.len()).any(|window| window == secret));
        if let Ok(Some(bus_schema::AnyEvent::Account(AccountEvent::ResetAsked(asked)))) = event.decode() {
            assert!(asked.expires_at > world.writer.clock().now());
        }
    }
}
