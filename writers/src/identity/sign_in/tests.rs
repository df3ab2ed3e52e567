use super::*;
use crate::identity::{
    account::{AccountError, change_password, create},
    testing::{EMAIL, PASSWORD, World, meta, person},
};
use argon2::{Algorithm, Argon2, Params, Version, password_hash::PasswordHasher};
use bus_schema::identity::{account::AccountPerson, role::Role};

const WRONG: (&str, i64) = ("wrong_credentials", 0);

#[tokio::test]
async fn a_right_password_opens_a_session() {
    let world = World::new().await;
    let signed_in = world.try_sign_in(" ADA@example.org ", PASSWORD, Some("192.0.2.7")).await.unwrap();
    assert_eq!(signed_in.account, world.ada);
    let token = signed_in.token.expose();
    let (account, scopes) = world.session(&token).await.unwrap();
    assert!(account == world.ada && scopes.allows("mail.campaign:send") && !scopes.allows("shop.order:write"));
    let stored = world.log.events();
    assert_eq!(stored.last().unwrap().seq, signed_in.receipt.position);
    assert_eq!(signed_in.receipt.value.revision, signed_in.receipt.position);
    // It may have an underscore in itself: after two of them it begins.
    let secret = token.splitn(3, '_').last().unwrap().as_bytes();
    for text in [secret, b"192.0.2.7".as_slice(), b"argon2id", b"Ada", b"ada@"] {
        let found = stored.iter().any(|event| event.body.windows(text.len()).any(|window| window == text));
        assert!(!found, "{:?} is in the log", String::from_utf8_lossy(text));
    }
}

#[tokio::test]
async fn windows_are_exact_survive_a_restart_and_double() {
    let world = World::new().await;
    let clock = world.writer.clock().clone();
    for _ in 0..5 {
        assert_eq!(world.refusal(EMAIL, "Wrong-1-wrong", None).await, WRONG);
    }
    assert_eq!(world.refusal(EMAIL, PASSWORD, None).await, ("locked", 120), "the right password too");
    let world = world.another();
    clock.advance_seconds(119);
    assert_eq!(world.refusal(EMAIL, PASSWORD, None).await, ("locked", 1), "nothing prolongs or resets it");
    clock.advance_seconds(1);
    assert_eq!(world.refusal(EMAIL, "Wrong-1-wrong", None).await, WRONG);
    assert_eq!(world.refusal(EMAIL, PASSWORD, None).await, ("locked", 240));
    clock.advance_seconds(240);
    world.try_sign_in(EMAIL, PASSWORD, None).await.unwrap();
    for _ in 0..4 {
        assert_eq!(world.refusal(EMAIL, "Wrong-1-wrong", None).await, WRONG, "the count began anew");
    }
    world.try_sign_in(EMAIL, PASSWORD, None).await.unwrap();
}

#[tokio::test]
async fn an_attack_from_elsewhere_does_not_shut_the_person_out_at_home() {
    let world = World::new().await;
    world.try_sign_in(EMAIL, PASSWORD, Some("home")).await.unwrap();
    for network in ["a", "b", "c", "d", "e"] {
        assert_eq!(world.refusal(EMAIL, "Wrong-1-wrong", Some(network)).await, WRONG);
    }
    assert_eq!(world.refusal(EMAIL, PASSWORD, Some("f")).await, ("locked", 120), "strangers share one count");
    world.try_sign_in(EMAIL, PASSWORD, Some("home")).await.unwrap();
}

#[tokio::test]
async fn parallel_attempts_cannot_be_more_than_five() {
    let (here, there) = {
        let world = World::new().await;
        (world.another(), world)
    };
    let attempts = (0..16).map(|i| {
        let world = if i % 2 == 0 { &here } else { &there };
        world.refusal(EMAIL, "Wrong-1-wrong", None)
    });
    let refusals = futures::future::join_all(attempts).await;
    assert_eq!(refusals.iter().filter(|refusal| **refusal == WRONG).count(), 5, "{refusals:?}");
    assert!(refusals.iter().filter(|refusal| **refusal != WRONG).all(|refusal| *refusal == ("locked", 120)));
    assert_eq!(here.count("account.login_failed"), 5);
}

#[tokio::test]
async fn an_unknown_address_is_answered_like_a_known_one() {
    let world = World::new().await;
    let stored = world.log.events().len();
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        let started = Instant::now();
        unknown.push(world.refusal("nobody@example.org", "Wrong-1-wrong", None).await);
        assert!(started.elapsed() >= REFUSAL);
    }
    assert_eq!(world.log.events().len(), stored, "made-up addresses do not fill the log");
    for _ in 0..7 {
        let started = Instant::now();
        known.push(world.refusal(EMAIL, "Wrong-1-wrong", None).await);
        assert!(started.elapsed() >= REFUSAL);
    }
    assert_eq!(known, unknown);
    assert_eq!(world.refusal("no address", PASSWORD, None).await, WRONG);
    assert_eq!(world.refusal("eve@example.org", &"x".repeat(1_000_000), None).await, WRONG);
}

#[tokio::test]
async fn a_disabled_account_says_so_only_to_who_has_the_password() {
    let world = World::new().await;
    world.account(&AccountCommand::Disable).await;
    assert_eq!(world.refusal(EMAIL, PASSWORD, None).await, ("account_disabled", 0));
    assert_eq!(world.refusal(EMAIL, "Wrong-1-wrong", None).await, WRONG);
}

#[tokio::test]
async fn an_old_hash_is_renewed_and_the_session_goes_on() {
    let world = World::new().await;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
    let old = argon2.hash_password_with_salt(PASSWORD.as_bytes(), b"0123456789abcdef").unwrap().to_string();
    world.account(&AccountCommand::ChangePassword { password: PasswordHash(old) }).await;
    let token = world.token().await;
    let account = world.writer.load::<Account>(&world.tenant, world.ada).await.unwrap();
    let (hash, count) = known_password(&world.writer, &world.tenant, &account.state).await.unwrap().unwrap();
    assert!(!needs_rehash(&hash) && count == 2);
    assert!(world.session(&token).await.is_ok());
    world.token().await;
    assert_eq!(world.count("account.password_rehashed"), 1);
}

#[tokio::test]
async fn another_password_ends_sessions_and_keeps_the_rules() {
    let world = World::new().await;
    let token = world.token().await;
    let change = async |password: &str| {
        change_password(&world.writer, world.sign_in.passwords(), &world.tenant, world.ada, &meta(), password).await
    };
    for (bad, code) in [("Short-1", "password_too_short"), ("Welcome12345", "password_common")] {
        let refused = change(bad).await;
        assert!(matches!(&refused, Err(AccountError::Write(WriteError::Rejected(r))) if r.code == code), "{refused:?}");
    }
    assert!(world.session(&token).await.is_ok());
    change("Ocean-7-ladder").await.unwrap();
    assert_eq!(world.session(&token).await, Err("session_ended"));
    assert_eq!(world.refusal(EMAIL, PASSWORD, None).await, WRONG);
    assert!(world.try_sign_in(EMAIL, "Ocean-7-ladder", None).await.is_ok());
}

#[tokio::test]
async fn an_address_has_one_account_and_a_repeated_attempt_is_another_one() {
    let world = World::new().await;
    let passwords = world.sign_in.passwords();
    let again = AccountPerson { email: "ADA@example.org".into(), ..person() };
    let roles = [Role::Owner];
    let taken = create(&world.writer, passwords, &world.tenant, &meta(), &again, PASSWORD, &roles).await;
    assert!(matches!(&taken, Err(AccountError::Write(WriteError::Rejected(r))) if r.code == "account_exists"));
    let credentials = Credentials { email: EMAIL, password: PASSWORD, network: None };
    let meta = meta();
    let first = world.sign_in.log_in(&world.writer, &world.tenant, credentials, &meta).await.unwrap();
    let second = world.sign_in.log_in(&world.writer, &world.tenant, credentials, &meta).await.unwrap();
    assert_ne!(first.token.hash(), second.token.hash());
    assert_eq!((world.count("session.opened"), world.count("account.logged_in")), (2, 2));
}

#[tokio::test]
async fn a_person_whose_key_is_destroyed_is_unknown() {
    let world = World::new().await;
    let account = world.writer.load::<Account>(&world.tenant, world.ada).await.unwrap();
    let key = account.state.person().unwrap().key();
    world.writer.keys().destroy(&world.tenant, key).await.unwrap();
    assert_eq!(world.refusal(EMAIL, PASSWORD, None).await, WRONG);
}
