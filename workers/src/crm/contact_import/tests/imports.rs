use super::*;
use crate::crm::contact_import::{ImportError, engine::Merge, ndjson_source::NdjsonRows, source::Position};
use Outcome::*;

const FILE: &str =
    "E-Mail;Vorname;Ort;Tags\nada@x.org;Eva;Rom;vip\nbob@x.org;Bob;;\nnobody;X;;\nBOB@X.org;Robert;Bonn;new\n";

#[tokio::test]
async fn duplicates_are_skipped() {
    let world = world().await;
    let id = world.create(ada()).await;
    let summary = world.import(FILE, &options(Duplicates::Skip)).await;
    assert_eq!(world.outcomes("import").await, [Skipped, Created, Failed, Skipped]);
    let report = world.report("import").await;
    assert_eq!(report[0].contact, Some(id));
    assert_eq!(report[3].contact, report[1].contact, "the first row of an address wins");
    assert_eq!((report[2].code.as_deref(), report[2].value.as_deref()), (Some("invalid_email"), Some("nobody")));
    assert_eq!((report[2].row, report[2].line, report[2].field.as_deref()), (3, 4, Some("email")));
    assert_eq!(world.details(id).await, ada());
    let tally = &summary.checkpoint.tally;
    assert_eq!((tally.of(Skipped), tally.of(Created), tally.of(Failed), summary.stopped), (2, 1, 1, false));
    let progress = summary.checkpoint.import_progress();
    assert_eq!((progress.rows, progress.skipped, progress.offset), (4, 2, FILE.len() as u64));
}

#[tokio::test]
async fn duplicates_are_filled_or_overwritten_within_the_file_too() {
    for (merge, first_name, bob) in [(Merge::Fill, "Ada", "Bob"), (Merge::Overwrite, "Eva", "Robert")] {
        let world = world().await;
        let id = world.create(ada()).await;
        world.import(FILE, &options(Duplicates::Merge(merge))).await;
        assert_eq!(world.outcomes("import").await, [Merged, Created, Failed, Merged]);
        let details = world.details(id).await;
        assert_eq!((details.email.as_str(), details.city.as_deref()), ("Ada@X.org", Some("Rom")));
        assert_eq!(details.first_name.as_deref(), Some(first_name));
        assert_eq!(world.tags(id).await, ["old", "vip"]);
        let details = world.details(world.holder("bob@x.org").await.unwrap()).await;
        assert_eq!((details.first_name.as_deref(), details.city.as_deref()), (Some(bob), Some("Bonn")));
        // Another import of the same file has nothing left to say.
        let again = options(Duplicates::Merge(Merge::Fill));
        let again = Options { import: Uuid::from_u128(2), tags: vec!["old".into()], ..again };
        world.import(FILE, &again).await;
        assert_eq!(world.outcomes("import").await, [Unchanged, Merged, Failed, Unchanged]);
    }
}

#[tokio::test]
async fn a_merge_follows_an_address_to_its_holder() {
    let world = world().await;
    let id = world.create(ContactDetails { email: "old@x.org".into(), ..ada() }).await;
    world.change(id, |details| ContactDetails { email: "ada@x.org".into(), ..details }).await;
    world.import("email,city\nada@x.org,Rome\nold@x.org,Bonn", &options(Duplicates::Merge(Merge::Fill))).await;
    let report = world.report("import").await;
    assert_eq!((report[0].outcome, report[0].contact), (Merged, Some(id)));
    assert_eq!(report[1].outcome, Created);
    assert_ne!(report[1].contact, Some(id));
    assert_eq!(world.details(id).await.city.as_deref(), Some("Rome"));
}

#[tokio::test]
async fn a_dry_run_tells_and_writes_nothing() {
    let world = world().await;
    let id = world.create(ada()).await;
    let before = world.log.events().len();
    for (duplicates, outcome) in [(Duplicates::Skip, WouldSkip), (Duplicates::Merge(Merge::Fill), WouldMerge)] {
        world.import(FILE, &Options { dry_run: true, ..options(duplicates) }).await;
        assert_eq!(world.outcomes("import").await, [outcome, WouldCreate, Failed, outcome]);
        assert_eq!(world.report("import").await[0].contact, Some(id));
    }
    assert_eq!(world.log.events().len(), before);
}

#[tokio::test]
async fn checkpoints_come_in_order_and_an_import_goes_on_from_any_of_them() {
    let world = world().await;
    // Every 7th row repeats an address, so that merges are under way too.
    let mut file = many(700);
    (1..=100).for_each(|n| file.push_str(&format!("p{}@x.org,Other {n},c\n", n * 7)));
    let options = Options { every: 100, ..options(Duplicates::Merge(Merge::Overwrite)) };
    let (summary, checkpoints) = world.import_from(&file, &options, Checkpoint::default(), 3).await;
    assert!(summary.stopped);
    let rows: Vec<u64> = checkpoints.iter().map(|checkpoint| checkpoint.position.row).collect();
    assert_eq!(rows[..3], [100, 200, 300]);
    assert!(rows.is_sorted() && *rows.last().unwrap() >= 300);
    assert!(world.log.events().len() >= 300);
    // A crash lost the last checkpoints: the rows after the second run again.
    let (summary, _) = world.import_from(&file, &options, checkpoints[1].clone(), usize::MAX).await;
    assert_eq!((summary.checkpoint.position.row, summary.stopped), (800, false));
    let events = world.log.events().len();
    assert_eq!(events, 700 + 100 * 2, "created once, changed and tagged once");
    let report = world.report("import").await;
    assert_eq!(report.iter().map(|row| row.row).collect::<Vec<_>>(), (1..=800).collect::<Vec<_>>());
    assert_eq!(report.iter().filter(|row| row.outcome == Merged).count(), 100);
    // From the beginning once more: the same report, nothing new.
    let (again, _) = world.import_from(&file, &options, Checkpoint::default(), usize::MAX).await;
    assert_eq!((again.checkpoint, world.log.events().len()), (summary.checkpoint, events));
    assert_eq!(world.report("import").await, report);
}

#[tokio::test]
async fn a_file_that_breaks_off_keeps_what_was_before() {
    let world = world().await;
    let file = format!("{}z@x.org,\"{}", many(120), "x".repeat(2 << 20));
    let source = CsvSource::open(Cursor::new(file.into_bytes()), CsvOptions::default()).unwrap();
    let mapping = Mapping::try_new(source.headings(), None).unwrap();
    let report = ReportWriter::open(&world.path("import"), 0).await.unwrap();
    let kept = Checkpoints::default();
    let mut progress = keeper(kept.clone(), usize::MAX);
    let (rows, options) = (CsvRows::new(source, mapping), options(Duplicates::Skip));
    let ended =
        engine::run(&world.writer, &world.tenant, &options, rows, report, Checkpoint::default(), &mut progress).await;
    let Err(ImportError::Source(error)) = ended else { panic!("{ended:?}") };
    assert!(error.to_string().starts_with("row 121, which begins on line 122, is longer than 1 MiB"), "{error}");
    assert_eq!(kept.lock().await.last().unwrap().position.row, 120);
    assert_eq!(world.report("import").await.len(), 120);
}

#[tokio::test]
async fn an_empty_import_and_a_missing_tenant_are_answered() {
    let world = world().await;
    let summary = world.import("email\n", &options(Duplicates::Skip)).await;
    assert_eq!(summary.checkpoint, Checkpoint::default());
    let rows = NdjsonRows::open(Cursor::new(b"{\"email\":\"a@x.org\"}\n".to_vec()), Position::default()).unwrap();
    let report = ReportWriter::open(&world.path("import"), 0).await.unwrap();
    let tenant = TenantId::try_new("nobody").unwrap();
    let mut progress = keeper(Checkpoints::default(), usize::MAX);
    let options = options(Duplicates::Skip);
    let ended = engine::run(&world.writer, &tenant, &options, rows, report, Checkpoint::default(), &mut progress).await;
    assert!(matches!(ended, Err(ImportError::Write { row: 1, .. })), "{ended:?}");
}

#[tokio::test]
async fn twenty_thousand_rows() {
    let world = world().await;
    let summary = world.import(&many(20_000), &options(Duplicates::Skip)).await;
    assert_eq!((summary.checkpoint.tally.of(Created), world.log.events().len()), (20_000, 20_000));
}
