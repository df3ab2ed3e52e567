use super::*;
use crate::harness::{NOW, given, opened, sealed};
use AccountRejection as R;
use bus_schema::keys::TenantKey;

const PHC: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyB0aGlz$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn hash(salt: &str) -> PasswordHash {
    PasswordHash(PHC.replace("bm9i", salt))
}

fn ada() -> AccountPerson {
    AccountPerson { email: "Ada@Example.org".into(), name: "Ada".into() }
}

fn created() -> AccountEvent {
    let roles = vec![Role::Editor, Role::Analyst];
    AccountCreated { person: sealed(&ada()), password: sealed(&hash("aaaa")), roles }.into()
}

fn create(person: AccountPerson, password: PasswordHash, roles: &[Role]) -> AccountCommand {
    AccountCommand::Create { person, password, roles: roles.to_vec() }
}

fn network(name: &str) -> ClaimHash {
    network_hash(&TenantKey::fixed([9; 32]), name)
}

fn log_in(verified: bool, from: Option<&str>) -> AccountCommand {
    AccountCommand::LogIn { verified, count: 1, network: from.map(network) }
}

fn logged_in(from: &str, new_network: bool) -> AccountEvent {
    LoggedIn { network: Some(network(from)), new_network }.into()
}

fn failed(from: Option<&str>, known_network: bool, failures: u32, locked_until: Option<Micros>) -> AccountEvent {
    LoginFailed { network: from.map(network), known_network, failures, locked_until }.into()
}

#[test]
fn a_new_account_is_sealed_with_its_password() {
    let decision =
        given::<Account>([]).when(create(ada(), hash("aaaa"), &[Role::Owner, Role::Admin, Role::Owner])).decision();
    let [AccountEvent::Created(created)] = &decision.events[..] else { panic!("{decision:?}") };
    assert_eq!((opened(&created.person), opened(&created.password)), (ada(), hash("aaaa")));
    assert_eq!(created.roles, [Role::Owner, Role::Admin]);
    let shown = format!("{decision:?}");
    assert!(!shown.contains("Ada") && !shown.contains("argon2id"), "nothing personal in the clear");
}

#[test]
fn a_bad_creation_is_refused() {
    let bad = [
        (create(AccountPerson { email: "ada".into(), ..ada() }, hash("aaaa"), &[Role::Owner]), R::InvalidEmail),
        (create(AccountPerson { name: String::new(), ..ada() }, hash("aaaa"), &[Role::Owner]), R::InvalidName),
        (create(ada(), hash("aaaa"), &[]), R::NoRole),
        (create(ada(), PasswordHash("Tulip-3-bridge".into()), &[Role::Owner]), R::UnacceptableHash),
    ];
    for (command, expected) in bad {
        given::<Account>([]).when(command).then_rejected(expected);
    }
    given::<Account>([created()]).when(create(ada(), hash("aaaa"), &[Role::Owner])).then_rejected(R::Exists);
}

#[test]
fn another_password_counts_and_ends_every_lock() {
    let until = Some(NOW.plus_seconds(120));
    let locked =
        [created(), logged_in("home", true), failed(None, false, 5, until), failed(Some("home"), true, 5, until)];
    let change = || AccountCommand::ChangePassword { password: hash("bbbb") };
    let decision = given::<Account>(locked.clone()).when(change()).decision();
    let [AccountEvent::PasswordChanged(changed)] = &decision.events[..] else { panic!("{decision:?}") };
    assert_eq!(opened(&changed.password), hash("bbbb"));
    let mut state = Account::default();
    locked.iter().chain(&decision.events).for_each(|event| state.evolve(event));
    assert_eq!(state.password().unwrap().1, 2);
    assert_eq!((state.locked_until(None, NOW), state.locked_until(Some(&network("home")), NOW)), (None, None));
    given::<Account>([created()]).when(AccountCommand::ChangePassword { password: hash("aaaa") }).then([]);
    given::<Account>([]).when(change()).then_rejected(R::Unknown);
    let weak = AccountCommand::ChangePassword { password: PasswordHash("x".into()) };
    given::<Account>([created()]).when(weak).then_rejected(R::UnacceptableHash);
}

#[test]
fn a_renewed_hash_is_of_the_same_password() {
    let rehash = |count| AccountCommand::Rehash { password: hash("cccc"), count };
    let decision = given::<Account>([created()]).when(rehash(1)).decision();
    let mut state = Account::default();
    [created()].iter().chain(&decision.events).for_each(|event| state.evolve(event));
    let (sealed, count) = state.password().unwrap();
    assert_eq!((opened(sealed), count), (hash("cccc"), 1));
    given::<Account>([created()]).when(rehash(2)).then([]);
    given::<Account>([]).when(rehash(1)).then_rejected(R::Unknown);
}

#[test]
fn roles_and_being_disabled_decide_the_scopes() {
    let set = |roles: &[Role]| AccountCommand::SetRoles { roles: roles.to_vec() };
    given::<Account>([created()]).when(set(&[Role::Analyst, Role::Editor])).then([]);
    given::<Account>([created()]).when(set(&[])).then_rejected(R::NoRole);
    given::<Account>([]).when(set(&[Role::Owner])).then_rejected(R::Unknown);
    let state = given::<Account>([created()])
        .when(set(&[Role::Support]))
        .then([RolesSet { roles: vec![Role::Support] }.into()]);
    assert!(state.scopes().allows("crm.contact:write") && !state.scopes().allows("cms.page:write"));
    let state = given::<Account>([created()]).when(AccountCommand::Disable).then([AccountDisabled {}.into()]);
    assert!(state.is_disabled() && state.scopes().is_empty());
    let disabled = || [created(), AccountDisabled {}.into()];
    given::<Account>(disabled()).when(AccountCommand::Disable).then([]);
    given::<Account>(disabled()).when(AccountCommand::Enable).then([AccountEnabled {}.into()]);
    given::<Account>([created()]).when(AccountCommand::Enable).then([]);
    given::<Account>([]).when(AccountCommand::Disable).then_rejected(R::Unknown);
    given::<Account>([]).when(AccountCommand::Enable).then_rejected(R::Unknown);
}

#[test]
fn failures_are_counted_and_the_fifth_locks() {
    let after = |failures, until| [created(), failed(Some("a"), false, failures, until)];
    let attempt =
        |events: [AccountEvent; 2], verified| given::<Account>(events).repeatable().when(log_in(verified, Some("b")));
    attempt(after(3, None), false).then([failed(Some("b"), false, 4, None)]);
    attempt(after(4, None), false).then([failed(Some("b"), false, 5, Some(NOW.plus_seconds(120)))]);
    let passed = Some(NOW);
    attempt(after(5, passed), false).then([failed(Some("b"), false, 6, Some(NOW.plus_seconds(240)))]);
    let open = NOW.plus_seconds(1);
    attempt(after(5, Some(open)), false).then_rejected(R::Locked { until: open });
    attempt(after(5, Some(open)), true).then_rejected(R::Locked { until: open });
    let state = attempt(after(5, passed), true).then([logged_in("b", true)]);
    assert_eq!(state.strangers, Lockout::default(), "success begins the count anew");
}

#[test]
fn a_network_the_person_signed_in_from_has_its_own_count() {
    let until = NOW.plus_seconds(60);
    let attacked = || [created(), logged_in("home", true), failed(Some("x"), false, 5, Some(until))];
    let state =
        given::<Account>(attacked()).repeatable().when(log_in(true, Some("home"))).then([logged_in("home", false)]);
    assert_eq!(state.strangers.failures, 5, "signing in at home does not free the others");
    given::<Account>(attacked()).when(log_in(true, Some("y"))).then_rejected(R::Locked { until });
    given::<Account>(attacked()).when(log_in(true, None)).then_rejected(R::Locked { until });
    let state = given::<Account>(attacked()).repeatable().when(log_in(false, Some("home"))).then([failed(
        Some("home"),
        true,
        1,
        None,
    )]);
    assert_eq!(state.strangers.failures, 5);
}

#[test]
fn only_so_many_networks_are_remembered() {
    let names: Vec<String> = (0..=MAX_NETWORKS).map(|i| format!("n{i}")).collect();
    let again = logged_in("n0", false);
    let events =
        names.iter().take(MAX_NETWORKS).map(|name| logged_in(name, true)).chain([again, logged_in("last", true)]);
    let state = given::<Account>([created()].into_iter().chain(events)).repeatable().when(log_in(true, Some("n1")));
    let state = state.then([logged_in("n1", true)]);
    assert_eq!(state.networks.len(), MAX_NETWORKS);
    assert!(state.lockout(Some(&network("n0"))).1, "used again, so kept");
}

#[test]
fn what_was_verified_must_be_the_present_password() {
    let stale = AccountCommand::LogIn { verified: true, count: 2, network: None };
    given::<Account>([created()]).when(stale).then_rejected(R::WrongCredentials);
    given::<Account>([]).when(log_in(true, None)).then_rejected(R::WrongCredentials);
    let disabled = || [created(), AccountDisabled {}.into()];
    given::<Account>(disabled()).when(log_in(true, None)).then_rejected(R::Disabled);
    given::<Account>(disabled()).repeatable().when(log_in(false, None)).then([failed(None, false, 1, None)]);
}
