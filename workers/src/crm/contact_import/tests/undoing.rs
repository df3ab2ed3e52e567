use super::*;
use crate::crm::contact_import::engine::Merge;
use Outcome::*;

const FILE: &str = "email,first name,city,phone,tags\nada@x.org,Eva,Rome,1,vip;old\nbob@x.org,Bob,Bonn,2,vip\nbob@x.org,Robert,Bern,3,new\n";

async fn imported() -> (World, Uuid) {
    let world = world().await;
    let id = world.create(ContactDetails { city: Some("Paris".into()), ..ada() }).await;
    world.import(FILE, &options(Duplicates::Merge(Merge::Overwrite))).await;
    assert_eq!(world.outcomes("import").await, [Merged, Created, Merged]);
    (world, id)
}

#[tokio::test]
async fn created_contacts_go_and_merged_ones_get_back_what_they_had() {
    let (world, id) = imported().await;
    let bob = world.holder("bob@x.org").await.unwrap();
    let key = world.contact(bob).await.details().unwrap().key();
    let summary = world.undo().await;
    assert_eq!(world.outcomes("undo").await, [Reverted, Removed, Removed]);
    assert_eq!(summary.checkpoint.tally.of(Removed), 2);
    assert_eq!(world.details(id).await, ContactDetails { city: Some("Paris".into()), ..ada() });
    assert_eq!(world.tags(id).await, ["old"]);
    assert_eq!(world.holder("bob@x.org").await, None, "the address is free");
    assert!(world.writer.keys().load(&world.tenant, &[key]).await.unwrap().is_empty(), "the key is destroyed");
    // Once more: the same answers, nothing new in the log.
    let (events, report) = (world.log.events().len(), world.report("undo").await);
    world.undo().await;
    assert_eq!((world.log.events().len(), world.report("undo").await), (events, report));
    // The file can be imported anew.
    world.import(FILE, &Options { import: Uuid::from_u128(5), ..options(Duplicates::Skip) }).await;
    assert_eq!(world.outcomes("import").await, [Skipped, Created, Skipped]);
}

#[tokio::test]
async fn what_was_changed_since_is_kept() {
    let (world, id) = imported().await;
    let bob = world.holder("bob@x.org").await.unwrap();
    world.change(id, |details| ContactDetails { phone: Some("999".into()), ..details }).await;
    world.change(bob, |details| ContactDetails { company: Some("Acme".into()), ..details }).await;
    let before = world.details(bob).await;
    world.undo().await;
    let report = world.report("undo").await;
    assert_eq!(world.outcomes("undo").await, [PartlyReverted, Kept, Kept]);
    assert_eq!(report[0].message.as_deref(), Some("changed since and kept: phone"));
    assert_eq!(report[1].code.as_deref(), Some("changed_since"));
    let details = world.details(id).await;
    assert_eq!((details.city.as_deref(), details.phone.as_deref()), (Some("Paris"), Some("999")));
    assert_eq!(details.first_name.as_deref(), Some("Ada"));
    assert_eq!(world.details(bob).await, before);
}

#[tokio::test]
async fn a_tag_somebody_gave_again_and_an_erased_person_are_left() {
    let (world, id) = imported().await;
    let command = |command| (Meta::system("test", CommandId::random()), command);
    for (meta, command) in
        [command(ContactCommand::Untag { tag: "vip".into() }), command(ContactCommand::Tag { tag: "vip".into() })]
    {
        world.writer.execute::<Contact>(&world.tenant, id, &meta, &command).await.unwrap();
    }
    let bob = world.holder("bob@x.org").await.unwrap();
    contact::erase(&world.writer, &world.tenant, bob, &Meta::system("test", CommandId::random())).await.unwrap();
    world.undo().await;
    assert_eq!(world.outcomes("undo").await, [Reverted, Gone, Gone]);
    assert_eq!(world.tags(id).await, ["old", "vip"]);
}

#[tokio::test]
async fn a_contact_that_is_needed_elsewhere_is_kept() {
    let (world, _) = imported().await;
    let bob = world.holder("bob@x.org").await.unwrap();
    world.undo_from(Checkpoint::default(), usize::MAX, Needed(Some(bob))).await;
    let report = world.report("undo").await;
    assert_eq!((report[1].outcome, report[1].code.as_deref()), (Kept, Some("in_use")));
    assert_eq!(report[1].message.as_deref(), Some("has an order"));
    assert_eq!(world.holder("bob@x.org").await, Some(bob));
}

#[tokio::test]
async fn an_undoing_that_was_stopped_goes_on() {
    let world = world().await;
    world.import(&many(300), &options(Duplicates::Skip)).await;
    let summary = world.undo_from(Checkpoint::default(), 1, Needed(None)).await;
    assert!(summary.stopped && summary.checkpoint.position.row < 300 + 1);
    let summary = world.undo_from(summary.checkpoint, usize::MAX, Needed(None)).await;
    assert_eq!((summary.checkpoint.tally.of(Removed), summary.stopped), (300, false));
    assert_eq!(world.log.events().len(), 600);
    assert_eq!(world.report("undo").await.len(), 300);
}

#[tokio::test]
async fn a_key_that_survived_a_crash_is_destroyed_when_it_goes_on() {
    let (world, _) = imported().await;
    let bob = world.holder("bob@x.org").await.unwrap();
    let key = world.contact(bob).await.details().unwrap().key();
    // The event of the undoing, without the destruction of the key that follows it.
    let command = CommandId::derived(&["import-undo", &IMPORT.to_string(), &bob.to_string()]);
    let meta = Meta::system("test", command);
    world.writer.execute::<Contact>(&world.tenant, bob, &meta, &ContactCommand::Erase).await.unwrap();
    assert!(!world.writer.keys().load(&world.tenant, &[key]).await.unwrap().is_empty());
    world.undo().await;
    assert_eq!(world.outcomes("undo").await, [Reverted, Removed, Removed]);
    assert!(world.writer.keys().load(&world.tenant, &[key]).await.unwrap().is_empty());
}
