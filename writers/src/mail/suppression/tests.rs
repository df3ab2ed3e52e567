use super::*;
use crate::{
    EventStore, Meta, Writer,
    backend::memory::MemoryStore,
    harness::{NOW, given, opened, sealed},
    writer::WriteError,
};
use bus_schema::{Cell, CommandId, KeyId, TenantId, keys::KeyDirectory, time::Clock};
use uuid::Uuid;

fn person(note: Option<&str>) -> Sealed<SuppressedPerson> {
    sealed(&SuppressedPerson { email: "Ada@X.example".into(), note: note.map(str::to_owned) })
}

fn added(reason: SuppressionReason, expires_at: Option<Micros>) -> SuppressionEvent {
    SuppressionAdded { person: person(None), reason, source: "test".into(), expires_at }.into()
}

fn lift(reason: Option<SuppressionReason>) -> SuppressionCommand {
    SuppressionCommand::Lift { reason, source: "not spam".into() }
}

const BOUNCE: SuppressionReason = SuppressionReason::HardBounce;
const COMPLAINT: SuppressionReason = SuppressionReason::Complaint;

#[test]
fn each_reason_is_lifted_by_itself() {
    let both = || [added(BOUNCE, None), added(COMPLAINT, None)];
    let lifted = |reason| SuppressionEvent::from(SuppressionLifted { reason, source: "not spam".into() });
    let state = given::<Suppression>(both()).when(lift(Some(COMPLAINT))).then([lifted(COMPLAINT)]);
    assert_eq!(state.reasons(NOW).collect::<Vec<_>>(), [BOUNCE]);
    let state = given::<Suppression>(both()).when(lift(None)).then([lifted(BOUNCE), lifted(COMPLAINT)]);
    assert_eq!(state.reasons(NOW).count(), 0);
    given::<Suppression>([added(BOUNCE, None)]).when(lift(Some(COMPLAINT))).then([]);
    given::<Suppression>([]).when(lift(None)).then_rejected(SuppressionRejection::Unknown);
    let empty = SuppressionCommand::Lift { reason: None, source: " ".into() };
    given::<Suppression>(both()).when(empty).then_rejected(SuppressionRejection::Required { field: "source" });
}

#[test]
fn a_reason_ends_by_itself_when_its_time_is_over() {
    let state = given::<Suppression>([added(BOUNCE, Some(NOW)), added(COMPLAINT, Some(NOW.plus_seconds(1)))]);
    let state = state.when(lift(Some(SuppressionReason::Manual))).then([]);
    assert_eq!(state.reasons(NOW).collect::<Vec<_>>(), [COMPLAINT]);
}

#[test]
fn an_erased_address_leaves_its_reasons() {
    let key = KeyId(Uuid::from_u128(0x4e));
    let state = given::<Suppression>([added(BOUNCE, None)]).when(SuppressionCommand::EraseAddress);
    let state = state.then([SuppressedAddressErased { key }.into()]);
    assert!(state.person().is_none() && state.reasons(NOW).count() == 1);
    given::<Suppression>([]).when(SuppressionCommand::EraseAddress).then_rejected(SuppressionRejection::Unknown);
}

#[test]
fn what_a_reason_stops_depends_on_the_class_of_mail() {
    let stops: Vec<bool> = SuppressionReason::ALL.into_iter().map(SuppressionReason::stops_transactional).collect();
    assert_eq!(stops, [true, true, false, true]);
    for reason in SuppressionReason::ALL {
        assert_eq!(SuppressionReason::from_name(reason.as_str()), Some(reason));
        assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
    }
}

struct World {
    writer: Writer,
    tenant: TenantId,
}

async fn world() -> World {
    let store = EventStore::Memory(MemoryStore::default());
    let keys = KeyDirectory::in_memory();
    let tenant = TenantId::try_new("acme").unwrap();
    keys.create_tenant(&tenant).await.unwrap();
    World { writer: Writer::new(Cell::try_new("eu1").unwrap(), store, keys, Clock::System), tenant }
}

fn wanted(email: &str, expires_at: Option<Micros>) -> Suppress<'_> {
    Suppress { email, reason: BOUNCE, source: "test", expires_at, note: Some("called twice") }
}

impl World {
    async fn suppress(&self, wanted: &Suppress<'_>) -> Result<(Uuid, u64), WriteError> {
        let meta = Meta::system("test", CommandId::random());
        let (id, receipt) = suppress(&self.writer, &self.tenant, &meta, wanted).await?;
        Ok((id, receipt.value.revision))
    }

    async fn held(&self, email: &str) -> Vec<SuppressionReason> {
        held(&self.writer, &self.tenant, email).await.unwrap()
    }
}

#[tokio::test]
async fn an_address_is_found_in_any_spelling_and_once() {
    let world = world().await;
    let (id, revision) = world.suppress(&wanted(" Ada@X.example", None)).await.unwrap();
    let later = world.writer.clock().now().plus_seconds(60);
    for again in [wanted("ada@x.EXAMPLE", None), wanted("ada@x.example", Some(later))] {
        assert_eq!(world.suppress(&again).await.unwrap(), (id, revision), "it holds for good already");
    }
    assert_eq!(world.held("ADA@x.example").await, [BOUNCE]);
    assert_eq!(world.held("bob@x.example").await, []);
    let other = TenantId::try_new("other").unwrap();
    world.writer.keys().create_tenant(&other).await.unwrap();
    assert_eq!(held(&world.writer, &other, "ada@x.example").await.unwrap(), [], "another tenant's list is another");
    for (bad, code) in [("nobody", "invalid_email"), ("", "invalid_email")] {
        let refused = world.suppress(&wanted(bad, None)).await.unwrap_err();
        assert!(matches!(refused, WriteError::Rejected(rejected) if rejected.code == code), "{bad}");
    }
    let past = world.suppress(&wanted("bob@x.example", Some(Micros(1)))).await.unwrap_err();
    assert!(matches!(past, WriteError::Rejected(rejected) if rejected.code == "time_past"));
}

#[tokio::test]
async fn an_addition_never_shortens_and_keeps_the_note() {
    let world = world().await;
    let now = world.writer.clock().now();
    let (id, first) = world.suppress(&wanted("a@x.example", Some(now.plus_seconds(60)))).await.unwrap();
    let longer = Suppress { note: None, ..wanted("a@x.example", Some(now.plus_seconds(600))) };
    let (_, second) = world.suppress(&longer).await.unwrap();
    assert!(second > first);
    let (_, third) = world.suppress(&wanted("a@x.example", Some(now.plus_seconds(300)))).await.unwrap();
    assert_eq!(third, second);
    let state = world.writer.load::<Suppression>(&world.tenant, id).await.unwrap();
    let person = state.state.person().unwrap().clone();
    let keys = world.writer.keys().load(&world.tenant, &[person.key()]).await.unwrap();
    assert_eq!(person.open(&keys).unwrap().known().unwrap().note.as_deref(), Some("called twice"));
    assert_eq!(opened(&self::person(None)).note, None);
}

#[tokio::test]
async fn the_address_of_an_erased_person_is_unreadable_and_still_suppressed() {
    let world = world().await;
    let (id, _) = world.suppress(&wanted("a@x.example", None)).await.unwrap();
    let before = world.writer.load::<Suppression>(&world.tenant, id).await.unwrap();
    let sealed = before.state.person().unwrap().clone();
    for _ in 0..2 {
        let meta = Meta::system("test", CommandId::random());
        erase_address(&world.writer, &world.tenant, &meta, id).await.unwrap();
    }
    let keys = world.writer.keys().load(&world.tenant, &[sealed.key()]).await.unwrap();
    assert_eq!(sealed.open(&keys).unwrap().known(), None);
    assert_eq!(world.held("a@x.example").await, [BOUNCE]);
    // Somebody puts it there again: it can be read again, under another key.
    let complaint = Suppress { reason: COMPLAINT, ..wanted("a@x.example", None) };
    world.suppress(&complaint).await.unwrap();
    let after = world.writer.load::<Suppression>(&world.tenant, id).await.unwrap();
    assert_ne!(after.state.person().unwrap().key(), sealed.key());
    assert_eq!(world.held("a@x.example").await, [BOUNCE, COMPLAINT]);
}
