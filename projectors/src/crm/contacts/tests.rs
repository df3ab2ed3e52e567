use super::*;
use crate::harness::{ID, at, given, keyring, sealed};
use bus_schema::crm::contact::{
    AddressReleased, AddressTaken, ConsentAsked, ConsentGiven, ConsentWithdrawn, ContactChanged, ContactCreated,
    ContactErased, ContactTagged, ContactUntagged,
};

const IMPORT: Uuid = Uuid::from_u128(0x19);
const OTHER: Uuid = Uuid::from_u128(0x0e);

fn ada() -> ContactDetails {
    let (first_name, city) = (Some("Ada".into()), Some("London".into()));
    ContactDetails { email: "ada@example.org".into(), first_name, city, ..ContactDetails::default() }
}

fn created() -> ContactEvent {
    let (details, tags) = (sealed(&ada()), vec!["vip".into()]);
    ContactCreated { details, home: ID, tags, import: Some(IMPORT) }.into()
}

fn evidence() -> ConsentEvidence {
    ConsentEvidence { source: "form".into(), text_version: "1".into(), ip: None, given_at: at(0) }
}

fn row() -> ContactRow {
    ContactRow {
        details: Some(sealed(&ada())),
        tags: ["vip".to_owned()].into(),
        consents: BTreeMap::new(),
        pending: BTreeMap::new(),
        import: Some(IMPORT),
    }
}

#[tokio::test]
async fn a_contact_is_shown_as_its_last_events_left_it() {
    let moved = ContactDetails { city: Some("Paris".into()), ..ada() };
    let record = given::<Contacts>([
        created(),
        ContactChanged { details: sealed(&moved), home: ID, import: None }.into(),
        ContactTagged { tag: "new".into() }.into(),
        ContactTagged { tag: "new".into() }.into(),
        ContactUntagged { tag: "vip".into() }.into(),
    ])
    .then_row(ContactRow { details: Some(sealed(&moved)), tags: ["new".to_owned()].into(), ..row() })
    .await;
    assert_eq!((record.first, record.created_at), (3, at(0)));
    assert_eq!(record.row.reveal(&keyring()), Some(moved));
    assert_eq!(record.row.reveal(&Keyring::default()), None, "the key was destroyed");
}

#[tokio::test]
async fn a_consent_shows_while_it_is_in_force() {
    let given_for = |purpose| ContactEvent::from(ConsentGiven { purpose, evidence: sealed(&evidence()) });
    let consent = |event| Consent { recorded_at: at(event), evidence: sealed(&evidence()) };
    let both = [created(), given_for(Purpose::Marketing), given_for(Purpose::Service)];
    let consents = BTreeMap::from([(Purpose::Marketing, consent(1)), (Purpose::Service, consent(2))]);
    given::<Contacts>(both.clone()).then_row(ContactRow { consents, ..row() }).await;
    let withdrawn = ConsentWithdrawn { purpose: Purpose::Marketing, source: "link".into() };
    given::<Contacts>(both.into_iter().chain([withdrawn.into()]))
        .then_row(ContactRow { consents: BTreeMap::from([(Purpose::Service, consent(2))]), ..row() })
        .await;
}

#[tokio::test]
async fn a_consent_that_was_asked_for_is_pending_until_it_is_given_or_withdrawn() {
    let request = ConsentRequest {
        source: "footer".into(),
        text_version: "1".into(),
        ip: Some("192.0.2.7".into()),
        tags: vec!["letter".into()],
    };
    let (purpose, expires_at) = (Purpose::Marketing, at(1).plus_seconds(60));
    let asked = ConsentAsked { purpose, round: 1, request: sealed(&request), at: at(1), expires_at };
    let pending = PendingConsent { asked_at: at(1), expires_at, request: sealed(&request) };
    let pending = ContactRow { pending: BTreeMap::from([(purpose, pending)]), ..row() };
    let events = [created(), asked.into()];
    let contact = given::<Contacts>(events.clone());
    let doc = contact.document(&keyring()).await.expect("a known person can be found");
    let field = |name: &str| doc.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    assert_eq!(field("pending_consents.marketing"), Some(FieldValue::Bool(true)));
    assert_eq!(field("consents.marketing"), Some(FieldValue::Bool(false)));
    contact.then_row(pending).await;
    let consent = ConsentGiven { purpose, evidence: sealed(&evidence()) };
    let record = given::<Contacts>(events.clone().into_iter().chain([consent.into()]));
    let consents = BTreeMap::from([(purpose, Consent { recorded_at: at(2), evidence: sealed(&evidence()) })]);
    record.then_row(ContactRow { consents, ..row() }).await;
    let withdrawn = ConsentWithdrawn { purpose, source: "link".into() };
    given::<Contacts>(events.into_iter().chain([withdrawn.into()])).then_row(row()).await;
}

#[tokio::test]
async fn an_erased_contact_keeps_its_place_but_nothing_personal() {
    let events = [created(), ContactErased { key: crate::harness::KEY }.into()];
    let erased = given::<Contacts>(events);
    assert_eq!(erased.document(&keyring()).await, None);
    let record = erased.then_row(ContactRow { details: None, tags: BTreeSet::new(), ..row() }).await;
    assert!(Contacts::keys(&record.row).is_empty());
}

#[tokio::test]
async fn the_home_of_an_address_is_no_contact() {
    given::<Contacts>([AddressTaken { by: OTHER }.into(), AddressReleased { by: OTHER }.into()]).then_no_row().await;
}

#[tokio::test]
async fn search_finds_names_and_what_lists_filter_by() {
    let contact = given::<Contacts>([created()]);
    let doc = contact.document(&keyring()).await.expect("a known person can be found");
    assert_eq!(doc.text[0].text, "Ada");
    assert!(doc.text[1].text.contains("ada@example.org"));
    for field in ["email", "first_name", "city", "tags", "consents.marketing", "import", "created_at", "updated_at"] {
        assert!(doc.fields.iter().any(|(name, _)| name == field), "{field}");
    }
    assert_eq!(contact.document(&Keyring::default()).await, None, "nothing is known without the key");
}
