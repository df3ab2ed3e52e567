use super::*;
use crate::{EventStore, backend::memory::MemoryStore};
use bus_schema::{Cell, CommandId, keys::KeyDirectory, time::Clock};

fn link() -> ConfirmationLink {
    let tenant = TenantId::try_new("acme").unwrap();
    ConfirmationLink { tenant, contact: Uuid::from_u128(1), purpose: Purpose::Marketing, round: 3 }
}

#[test]
fn a_link_is_bound_to_its_question_and_cannot_be_forged() {
    let (key, other) = (TenantKey::fixed([1; 32]), TenantKey::fixed([2; 32]));
    let token = link().token(&key);
    assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    assert_eq!(ConfirmationLink::read(&token).unwrap().proven(&key), Some(link()));
    assert_eq!(ConfirmationLink::read(&token).unwrap().proven(&other), None, "another tenant's key");
    let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
    for at in 0..bytes.len() {
        let mut forged = bytes.clone();
        forged[at] ^= 1;
        let read = ConfirmationLink::read(&URL_SAFE_NO_PAD.encode(&forged));
        assert_eq!(read.and_then(|read| read.proven(&key)), None, "byte {at}");
        let cut = ConfirmationLink::read(&URL_SAFE_NO_PAD.encode(&bytes[..at]));
        assert_eq!(cut.and_then(|cut| cut.proven(&key)), None, "cut at {at}");
    }
    for bad in ["", "!", "AA", &"A".repeat(400)] {
        assert!(ConfirmationLink::read(bad).is_none(), "{bad}");
    }
}

#[tokio::test]
async fn an_address_has_one_contact_that_strangers_do_not_change() {
    let (keys, tenant) = (KeyDirectory::in_memory(), TenantId::try_new("demo").unwrap());
    keys.create_tenant(&tenant).await.unwrap();
    let store = EventStore::Memory(MemoryStore::default());
    let writer = Writer::new(Cell::try_new("eu1").unwrap(), store, keys, Clock::System);
    let named = |email: &str, name: &str| ContactDetails {
        email: email.into(),
        first_name: Some(name.into()),
        ..ContactDetails::default()
    };
    let at = async |details: ContactDetails| {
        contact_at(&writer, &tenant, &Meta::system("test", CommandId::random()), &details).await.unwrap()
    };
    let (ada, made) = at(named("ada@x.example", "Ada")).await;
    assert!(made);
    assert_eq!(at(named("ADA@x.example", "Eve")).await, (ada, false));
    assert_eq!(writer.load::<Contact>(&tenant, ada).await.unwrap().revision, 1, "one event");
    // Two at the same moment: one contact.
    let (one, two) = (named("bob@x.example", "Bob"), named("bob@x.example", "Rob"));
    let (one, two) = tokio::join!(at(one), at(two));
    assert_eq!((one.0, one.1 != two.1), (two.0, true));
    // Erased, then back: somebody new.
    let erase = Meta::system("test", CommandId::random());
    super::super::contact::erase(&writer, &tenant, ada, &erase).await.unwrap();
    let (again, made) = at(named("ada@x.example", "Ada")).await;
    assert!(made && again != ada);
}
