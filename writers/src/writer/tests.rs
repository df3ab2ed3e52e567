use super::*;
use crate::{
    backend::memory::MemoryStore,
    identity::api_key::{ApiKey, ApiKeyCommand},
};
use bus_schema::identity::scope::Scopes;

const LONG: Duration = Duration::from_secs(3_600);

/// Two writers of one log, and a tenant there.
pub(crate) async fn two_processes() -> (Writer, Writer, TenantId) {
    let (log, keys) = (MemoryStore::default(), KeyDirectory::in_memory());
    let tenant = TenantId::try_new("demo").unwrap();
    keys.create_tenant(&tenant).await.unwrap();
    let writer = || {
        let store = EventStore::Memory(log.clone());
        Writer::new(Cell::try_new("eu1").unwrap(), store, keys.clone(), Clock::System)
    };
    (writer(), writer(), tenant)
}

fn create() -> ApiKeyCommand {
    let scopes = Scopes::parse(["crm.contact:read"]).unwrap();
    ApiKeyCommand::Create { name: "shop sync".into(), scopes, secret_hash: [1; 32], expires_at: None }
}

async fn execute(writer: &Writer, tenant: &TenantId, id: Uuid, command: &ApiKeyCommand) {
    writer.execute::<ApiKey>(tenant, id, &Meta::system("test", CommandId::random()), command).await.unwrap();
}

#[tokio::test]
async fn a_cached_load_shows_own_commits_at_once_and_others_within_the_age() {
    let (here, there, tenant) = two_processes().await;
    let id = Uuid::from_u128(7);
    execute(&here, &tenant, id, &create()).await;
    let revision = |loaded: Arc<Loaded<ApiKey>>| loaded.revision;
    assert_eq!(revision(here.load_cached(&tenant, id, LONG).await.unwrap()), 1);
    assert_eq!(revision(there.load_cached(&tenant, id, LONG).await.unwrap()), 1);
    execute(&there, &tenant, id, &ApiKeyCommand::Revoke).await;
    assert_eq!(revision(there.load_cached(&tenant, id, LONG).await.unwrap()), 2, "its own commit shows at once");
    assert_eq!(revision(here.load_cached(&tenant, id, LONG).await.unwrap()), 1, "the log was not asked");
    assert_eq!(revision(here.load_cached(&tenant, id, Duration::ZERO).await.unwrap()), 2);
    assert_eq!(revision(here.load_cached(&tenant, id, LONG).await.unwrap()), 2, "and the answer is kept");
}

#[tokio::test]
async fn what_does_not_exist_is_asked_for_again() {
    let (here, there, tenant) = two_processes().await;
    let id = Uuid::from_u128(7);
    assert_eq!(here.load_cached::<ApiKey>(&tenant, id, LONG).await.unwrap().revision, 0);
    execute(&there, &tenant, id, &create()).await;
    assert_eq!(here.load_cached::<ApiKey>(&tenant, id, LONG).await.unwrap().revision, 1);
}

#[tokio::test]
async fn an_older_state_never_replaces_a_newer_one() {
    let (here, there, tenant) = two_processes().await;
    let id = Uuid::from_u128(7);
    execute(&here, &tenant, id, &create()).await;
    let old = here.load::<ApiKey>(&tenant, id).await.unwrap();
    execute(&here, &tenant, id, &ApiKeyCommand::Revoke).await;
    let subject = here.subject::<ApiKey>(&tenant, id);
    here.0.cache.put(&subject, old, tokio::time::Instant::now());
    assert_eq!(here.load_cached::<ApiKey>(&tenant, id, LONG).await.unwrap().revision, 2);
    drop(there);
}
