use super::*;
use crate::{
    EventStore,
    backend::memory::MemoryStore,
    decider::ClaimChange,
    harness::given,
    writer::{Loaded, Meta, Receipt, WriteError, Writer},
};
use bus_schema::{Cell, CommandId, TenantId, keys::KeyDirectory, time::Clock};
use uuid::Uuid;

fn says(body: &str) -> PageContent {
    PageContent { title: "Team".into(), description: String::new(), body: body.into() }
}

fn created() -> PageEvent {
    PageCreated { site: "main".into(), slug: "team".into(), content: says("one") }.into()
}

fn edited(revision: u64, body: &str) -> PageEvent {
    PageEdited { revision, content: says(body) }.into()
}

fn published(revision: u64, body: &str) -> PageEvent {
    PagePublished { site: "main".into(), slug: "team".into(), revision, content: says(body) }.into()
}

fn renamed(from: &str, to: &str, redirect: bool) -> PageEvent {
    PageSlugRenamed { site: "main".into(), from: from.into(), to: to.into(), redirect }.into()
}

fn removed() -> PageEvent {
    PageRemoved { site: "main".into(), slug: "team".into(), redirects: vec![] }.into()
}

fn unpublished() -> PageEvent {
    PageUnpublished { site: "main".into(), slug: "team".into() }.into()
}

fn edit(body: &str) -> PageCommand {
    PageCommand::Edit { content: says(body) }
}

fn rename(slug: &str) -> PageCommand {
    PageCommand::RenameSlug { slug: slug.into() }
}

fn create(site: &str, slug: &str, content: PageContent) -> PageCommand {
    PageCommand::Create { site: site.into(), slug: slug.into(), content }
}

/// How many addresses a decision takes and gives back.
fn claims(decision: &Decision<PageEvent>) -> (usize, usize) {
    let taken = decision.claims.iter().filter(|change| matches!(change, ClaimChange::Take { .. })).count();
    (taken, decision.claims.len() - taken)
}

#[test]
fn a_page_is_made_once_with_its_address() {
    let decision = given::<Page>([]).when(create("main", "team", says("one"))).decision();
    assert_eq!((decision.events.clone(), claims(&decision)), (vec![created()], (1, 0)));
    given::<Page>([created()]).when(create("main", "team", says("one"))).then_rejected(PageRejection::Exists);
    given::<Page>([]).when(create("Main.1", "x", says("a"))).then_rejected(PageRejection::InvalidSite);
    given::<Page>([]).when(create("main", "v1", says("a"))).then_rejected(PageRejection::ReservedSlug);
    given::<Page>([]).when(create("main", "a//b", says("a"))).then_rejected(PageRejection::InvalidSlug);
    let untitled = PageContent { title: " ".into(), ..says("a") };
    given::<Page>([]).when(create("main", "", untitled)).then_rejected(PageRejection::Required { field: "title" });
    let broken = PageContent { description: "a\nb".into(), ..says("a") };
    let fault = PageRejection::InvalidText { field: "description" };
    given::<Page>([]).when(create("main", "", broken)).then_rejected(fault);
}

#[test]
fn contents_are_counted_and_the_same_content_is_no_revision() {
    given::<Page>([created()]).when(edit("two")).then([edited(2, "two")]);
    given::<Page>([created(), edited(2, "two")]).when(edit("two")).then([]);
    given::<Page>([]).when(edit("two")).then_rejected(PageRejection::Unknown);
    let long = PageContent { title: "x".repeat(201), ..says("a") };
    let fault = PageRejection::TooLong { field: "title", max: 200 };
    given::<Page>([created()]).when(PageCommand::Edit { content: long }).then_rejected(fault);
}

#[test]
fn publishing_shows_the_draft_and_says_it_whole() {
    let page = given::<Page>([created(), edited(2, "two")]).when(PageCommand::Publish).then([published(2, "two")]);
    assert_eq!(page.live(), Some((2, &says("two"))));
    let page = given::<Page>([created(), published(1, "one")]).when(edit("two")).then([edited(2, "two")]);
    assert_eq!(page.live(), Some((1, &says("one"))), "editing does not change what visitors see");
    given::<Page>([created(), published(1, "one")]).when(PageCommand::Publish).then([]);
    given::<Page>([created(), published(1, "one")]).when(PageCommand::Unpublish).then([unpublished()]);
    given::<Page>([created()]).when(PageCommand::Unpublish).then([]);
    given::<Page>([created(), published(1, "one"), unpublished()])
        .when(PageCommand::Publish)
        .then([published(1, "one")]);
}

#[test]
fn an_address_visitors_may_know_stays_the_pages() {
    let decision = given::<Page>([created()]).when(rename("crew")).decision();
    assert_eq!((decision.events.clone(), claims(&decision)), (vec![renamed("team", "crew", false)], (1, 1)));
    let live = [created(), published(1, "one"), renamed("team", "crew", true)];
    let decision = given::<Page>(live[..2].to_vec()).when(rename("crew")).decision();
    assert_eq!((decision.events.clone(), claims(&decision)), (vec![renamed("team", "crew", true)], (1, 0)));
    // Back to an address it still has: nothing to take, and the newer one leads on.
    let decision = given::<Page>(live.clone()).when(rename("team")).decision();
    assert_eq!((decision.events.clone(), claims(&decision)), (vec![renamed("crew", "team", true)], (0, 0)));
    let back =
        given::<Page>([live.to_vec(), vec![renamed("crew", "team", true)]].concat()).when(rename("team")).then([]);
    assert_eq!(back.redirects().collect::<Vec<_>>(), ["crew"]);
    given::<Page>(live.clone()).when(rename("docs/x")).then_rejected(PageRejection::ReservedSlug);

    let drop = |slug: &str| PageCommand::DropRedirect { slug: slug.into() };
    let decision = given::<Page>(live.clone()).when(drop("team")).decision();
    let dropped: PageEvent = PageRedirectDropped { site: "main".into(), slug: "team".into() }.into();
    assert_eq!((decision.events.clone(), claims(&decision)), (vec![dropped], (0, 1)));
    given::<Page>(live).when(drop("crew")).then_rejected(PageRejection::UnknownRedirect);
}

#[test]
fn old_addresses_are_bounded() {
    let mut events = vec![created(), published(1, "one")];
    events.extend((0..MAX_REDIRECTS).map(|n| {
        let from = if n == 0 { "team".into() } else { format!("p{}", n - 1) };
        renamed(&from, &format!("p{n}"), true)
    }));
    given::<Page>(events.clone()).when(rename("new")).then_rejected(PageRejection::TooManyRedirects);
    given::<Page>(events).when(rename("p7")).then([renamed("p99", "p7", true)]);
}

#[test]
fn an_earlier_content_becomes_the_draft_as_a_new_revision() {
    let restore = |revision, body: &str| PageCommand::Restore { revision, content: says(body) };
    let restored = |revision, from, body: &str| -> PageEvent {
        PageRestored { revision, restored_from: from, content: says(body) }.into()
    };
    let events = [created(), edited(2, "two"), published(2, "two"), edited(3, "three")];
    given::<Page>(events.clone()).when(restore(1, "one")).then([restored(4, 1, "one")]);
    given::<Page>(events.clone()).when(restore(3, "three")).then([]);
    for revision in [0, 4] {
        given::<Page>(events.clone())
            .when(restore(revision, "x"))
            .then_rejected(PageRejection::UnknownRevision { revision });
    }
    given::<Page>(events).when(PageCommand::DiscardDraft).then([restored(4, 2, "two")]);
    given::<Page>([created(), published(1, "one")]).when(PageCommand::DiscardDraft).then([]);
    given::<Page>([created()]).when(PageCommand::DiscardDraft).then_rejected(PageRejection::NotPublished);
}

#[test]
fn a_removed_page_gives_its_addresses_back_and_can_return() {
    let moved = [created(), published(1, "one"), renamed("team", "crew", true)];
    let decision = given::<Page>(moved).when(PageCommand::Remove).decision();
    let gone: PageEvent =
        PageRemoved { site: "main".into(), slug: "crew".into(), redirects: vec!["team".into()] }.into();
    assert_eq!((decision.events.clone(), claims(&decision)), (vec![gone], (0, 2)));
    given::<Page>([created(), removed()]).when(PageCommand::Remove).then([]);
    given::<Page>([created(), removed()]).when(edit("two")).then_rejected(PageRejection::Removed);
    given::<Page>([]).when(PageCommand::Remove).then_rejected(PageRejection::Unknown);

    let back = |slug: Option<&str>| PageCommand::Reinstate { slug: slug.map(str::to_owned) };
    let at = |slug: &str| -> PageEvent {
        PageReinstated { site: "main".into(), slug: slug.into(), revision: 1, content: says("one") }.into()
    };
    given::<Page>([created(), removed()]).when(back(None)).then([at("team")]);
    given::<Page>([created(), removed()]).when(back(Some("crew"))).then([at("crew")]);
    given::<Page>([created()]).when(back(None)).then([]);
    given::<Page>([created()]).when(back(Some("crew"))).then_rejected(PageRejection::Exists);
}

struct World {
    writer: Writer,
    tenant: TenantId,
}

async fn world() -> World {
    let keys = KeyDirectory::in_memory();
    let tenant = TenantId::try_new("demo").unwrap();
    keys.create_tenant(&tenant).await.unwrap();
    let store = EventStore::Memory(MemoryStore::default());
    World { writer: Writer::new(Cell::try_new("eu1").unwrap(), store, keys, Clock::System), tenant }
}

impl World {
    async fn page(&self, site: &str, slug: &str) -> Result<Uuid, WriteError> {
        let meta = Meta::system("test", CommandId::random());
        Ok(super::create(&self.writer, &self.tenant, &meta, site, slug, says("one")).await?.0)
    }

    async fn run(&self, id: Uuid, command: PageCommand) -> Result<Receipt<Loaded<Page>>, WriteError> {
        let meta = Meta::system("test", CommandId::random());
        self.writer.execute::<Page>(&self.tenant, id, &meta, &command).await
    }

    async fn restore(&self, id: Uuid, revision: u64) -> Result<Receipt<Loaded<Page>>, WriteError> {
        let meta = Meta::system("test", CommandId::random());
        super::restore(&self.writer, &self.tenant, id, &meta, revision).await
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, WriteError>, code: &str) {
    match outcome {
        Err(WriteError::Rejected(rejected)) => assert_eq!(rejected.code, code),
        other => panic!("expected {code}, got {other:?}"),
    }
}

#[tokio::test]
async fn an_address_has_one_page_per_site_through_moves_and_removals() {
    let world = world().await;
    let team = world.page("main", "team").await.unwrap();
    world.page("shop", "team").await.unwrap();
    refused(world.page("main", "team").await, "slug_taken");
    // A draft that moves frees its address, a published page keeps it.
    world.run(team, rename("crew")).await.unwrap();
    let other = world.page("main", "team").await.unwrap();
    refused(world.run(team, rename("team")).await, "slug_taken");
    world.run(other, PageCommand::Publish).await.unwrap();
    world.run(other, rename("people")).await.unwrap();
    refused(world.run(team, rename("team")).await, "slug_taken");
    world.run(other, rename("team")).await.unwrap();
    world.run(other, rename("people")).await.unwrap();
    world.run(other, PageCommand::DropRedirect { slug: "team".into() }).await.unwrap();
    world.run(team, rename("team")).await.unwrap();
    // What a removed page had is free, and it comes back only where nobody is.
    world.run(other, PageCommand::Remove).await.unwrap();
    let third = world.page("main", "people").await.unwrap();
    refused(world.run(other, PageCommand::Reinstate { slug: None }).await, "slug_taken");
    let back = world.run(other, PageCommand::Reinstate { slug: Some("folks".into()) }).await.unwrap();
    assert_eq!((back.value.state.slug(), back.value.state.live()), ("folks", None));
    world.run(third, PageCommand::Remove).await.unwrap();
    world.run(other, rename("people")).await.unwrap();
}

#[tokio::test]
async fn any_revision_can_be_restored_from_history() {
    let world = world().await;
    let id = world.page("main", "").await.unwrap();
    world.run(id, edit("two")).await.unwrap();
    world.run(id, PageCommand::Publish).await.unwrap();
    let receipt = world.restore(id, 1).await.unwrap();
    assert_eq!((receipt.value.state.revision(), receipt.value.state.draft()), (3, &says("one")));
    assert_eq!(receipt.value.state.live(), Some((2, &says("two"))));
    assert_eq!(world.restore(id, 2).await.unwrap().value.state.revision(), 4);
    assert_eq!(super::content_of(&world.writer, &world.tenant, id, 3).await.unwrap(), Some(says("one")));
    refused(world.restore(id, 9).await, "revision_not_found");
    refused(world.restore(Uuid::nil(), 1).await, "page_not_found");
}

#[tokio::test]
async fn concurrent_pages_for_one_address_have_one_winner() {
    let world = world().await;
    let outcomes = futures::future::join_all((0..20).map(|_| world.page("main", "team"))).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    outcomes.into_iter().filter(Result::is_err).for_each(|outcome| refused(outcome, "slug_taken"));
}
