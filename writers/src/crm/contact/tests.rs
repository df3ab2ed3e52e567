use super::*;
use crate::{
    EventStore,
    backend::memory::MemoryStore,
    harness::{ID, given, key, opened, sealed},
    writer::{Meta, WriteError, Writer},
};
use bus_schema::{Cell, CommandId, TenantId, keys::KeyDirectory, time::Clock};

fn ada() -> ContactDetails {
    ContactDetails { email: "Ada@Example.org".into(), first_name: Some("Ada".into()), ..ContactDetails::default() }
}

fn created() -> ContactEvent {
    ContactCreated { details: sealed(&ada()), home: ID, tags: vec!["vip".into()], import: None }.into()
}

fn create(details: ContactDetails) -> ContactCommand {
    ContactCommand::Create { details, tags: vec!["VIP".into(), "vip ".into()], import: None }
}

#[test]
fn a_new_contact_is_sealed_and_its_tags_are_normal() {
    let decision = given::<Contact>([]).when(create(ada())).decision();
    let [ContactEvent::Created(created)] = &decision.events[..] else { panic!("{decision:?}") };
    assert_eq!(opened(&created.details), ada());
    assert_eq!(created.tags, ["vip"]);
    assert!(!format!("{decision:?}").contains("Ada"), "nothing personal in the clear");
}

#[test]
fn bad_details_are_refused_with_the_field() {
    let bad = ContactDetails { country: Some("Germany".into()), ..ada() };
    given::<Contact>([]).when(create(bad)).then_rejected(ContactRejection::TooLong { field: "country", max: 2 });
    let bad = ContactDetails { email: "nobody".into(), ..ada() };
    given::<Contact>([]).when(create(bad)).then_rejected(ContactRejection::InvalidEmail);
}

#[test]
fn tags_are_added_once_and_removed_once() {
    given::<Contact>([created()])
        .when(ContactCommand::Tag { tag: "New".into() })
        .then([ContactTagged { tag: "new".into() }.into()]);
    given::<Contact>([created()]).when(ContactCommand::Tag { tag: "vip".into() }).then([]);
    given::<Contact>([created()]).when(ContactCommand::Untag { tag: "gone".into() }).then([]);
    given::<Contact>([created()])
        .when(ContactCommand::Untag { tag: "vip".into() })
        .then([ContactUntagged { tag: "vip".into() }.into()]);
}

#[test]
fn consent_keeps_its_evidence_sealed() {
    let evidence = ConsentEvidence {
        source: "signup form".into(),
        text_version: "2026-01".into(),
        ip: Some("192.0.2.7".into()),
        given_at: crate::harness::NOW,
    };
    let command = ContactCommand::GiveConsent { purpose: Purpose::Marketing, evidence: evidence.clone() };
    let decision = given::<Contact>([created()]).when(command).decision();
    let [ContactEvent::ConsentGiven(given_event)] = &decision.events[..] else { panic!("{decision:?}") };
    assert_eq!(opened(&given_event.evidence), evidence);
    let state = given::<Contact>([created(), given_event.clone().into()])
        .when(ContactCommand::WithdrawConsent { purpose: Purpose::Marketing, source: "link".into() })
        .then([ConsentWithdrawn { purpose: Purpose::Marketing, source: "link".into() }.into()]);
    assert!(!state.consents_to(Purpose::Marketing));
}

#[test]
fn an_erased_contact_takes_no_more_commands() {
    let erased: ContactEvent = ContactErased { key: key().id }.into();
    given::<Contact>([created()]).when(ContactCommand::Erase).then([erased.clone()]);
    given::<Contact>([created(), erased.clone()]).when(ContactCommand::Erase).then([]);
    given::<Contact>([created(), erased])
        .when(ContactCommand::Tag { tag: "x".into() })
        .then_rejected(ContactRejection::Erased);
    given::<Contact>([]).when(ContactCommand::Erase).then_rejected(ContactRejection::Unknown);
}

struct World {
    writer: Writer,
    tenant: TenantId,
    log: MemoryStore,
}

async fn world() -> World {
    let (log, keys) = (MemoryStore::default(), KeyDirectory::in_memory());
    let tenant = TenantId::try_new("demo").unwrap();
    keys.create_tenant(&tenant).await.unwrap();
    let writer = Writer::new(Cell::try_new("eu1").unwrap(), EventStore::Memory(log.clone()), keys, Clock::System);
    World { writer, tenant, log }
}

fn named(email: &str) -> ContactCommand {
    ContactCommand::Create {
        details: ContactDetails { email: email.into(), ..ContactDetails::default() },
        tags: vec![],
        import: None,
    }
}

impl World {
    async fn create(&self, email: &str) -> Result<Uuid, WriteError> {
        self.create_as(CommandId::random(), email).await
    }

    async fn create_as(&self, command: CommandId, email: &str) -> Result<Uuid, WriteError> {
        let meta = Meta { content: Some(email.into()), ..Meta::system("test", command) };
        Ok(super::create(&self.writer, &self.tenant, &meta, &named(email), email).await?.0)
    }

    async fn move_to(&self, id: Uuid, email: &str) -> Result<(), WriteError> {
        let meta = Meta::system("test", CommandId::random());
        let edit = |details| ContactDetails { email: email.into(), ..details };
        super::change(&self.writer, &self.tenant, id, &meta, None, edit).await.map(|_| ())
    }

    async fn erase(&self, id: Uuid) {
        let meta = Meta::system("test", CommandId::random());
        super::erase(&self.writer, &self.tenant, id, &meta).await.unwrap();
    }
}

fn is_taken<T: std::fmt::Debug>(outcome: Result<T, WriteError>) -> bool {
    matches!(&outcome, Err(WriteError::Rejected(rejected)) if rejected.code == "email_taken")
}

#[tokio::test]
async fn an_address_belongs_to_one_contact_through_moves_and_erasures() {
    let world = world().await;
    let ada = world.create("a@x.org").await.unwrap();
    assert!(is_taken(world.create("A@X.org").await), "case does not make it another address");
    let bob = world.create("b@x.org").await.unwrap();
    assert!(is_taken(world.move_to(bob, "a@x.org").await));
    // Ada leaves her address; it is free for Bob, and after him for somebody new.
    world.move_to(ada, "ada@x.org").await.unwrap();
    assert!(is_taken(world.create("ada@x.org").await), "her new address is hers");
    world.move_to(bob, "a@x.org").await.unwrap();
    assert!(is_taken(world.create("a@x.org").await));
    assert!(is_taken(world.move_to(ada, "a@x.org").await), "not even she gets it back now");
    world.move_to(bob, "bob@x.org").await.unwrap();
    let carol = world.create("a@x.org").await.unwrap();
    assert!(carol != ada && carol != bob);
    assert!(is_taken(world.create("a@x.org").await));
    // Erasure frees the address wherever its holder lives.
    world.erase(carol).await;
    let dora = world.create("a@x.org").await.unwrap();
    assert_ne!(dora, carol);
    world.erase(ada).await;
    world.create("ada@x.org").await.unwrap();
}

#[tokio::test]
async fn a_retried_creation_is_answered_again_and_another_request_is_refused() {
    let world = world().await;
    let command = CommandId::derived(&["key-1"]);
    let id = world.create_as(command, "a@x.org").await.unwrap();
    let stored = world.log.events().len();
    assert_eq!(world.create_as(command, "a@x.org").await.unwrap(), id);
    assert!(matches!(world.create_as(command, "other@x.org").await, Err(WriteError::KeyReused)));
    // The same for a creation that had to go elsewhere.
    world.erase(id).await;
    let command = CommandId::derived(&["key-2"]);
    let elsewhere = world.create_as(command, "a@x.org").await.unwrap();
    assert_eq!(world.create_as(command, "a@x.org").await.unwrap(), elsewhere);
    assert_eq!(world.log.events().len(), stored + 3, "erased, taken, created and nothing twice");
    // And for one whose address was left by a contact that lives on.
    let left = world.create("d@x.org").await.unwrap();
    world.move_to(left, "e@x.org").await.unwrap();
    let command = CommandId::derived(&["key-3"]);
    let newcomer = world.create_as(command, "d@x.org").await.unwrap();
    assert_ne!(newcomer, left);
    assert_eq!(world.create_as(command, "d@x.org").await.unwrap(), newcomer);
}

#[tokio::test]
async fn concurrent_creations_of_one_address_have_one_winner() {
    let world = world().await;
    let outcomes = futures::future::join_all((0..20).map(|_| world.create("a@x.org"))).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.into_iter().filter(Result::is_err).all(is_taken));
}

#[tokio::test]
async fn an_erased_person_is_unreadable_in_the_log() {
    let world = world().await;
    let id = world.create("a@x.org").await.unwrap();
    let state = world.writer.load::<Contact>(&world.tenant, id).await.unwrap();
    let sealed = state.state.details().unwrap().clone();
    world.erase(id).await;
    let keys = world.writer.keys().load(&world.tenant, &[sealed.key()]).await.unwrap();
    assert_eq!(sealed.open(&keys).unwrap(), bus_schema::Revealed::Erased);
}
