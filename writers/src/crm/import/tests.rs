use super::*;
use crate::harness::given;
use ImportRejection as R;
use bus_schema::crm::import::{Duplicates, ImportFormat};

fn plan() -> ImportPlan {
    ImportPlan {
        label: "Spring fair".into(),
        format: ImportFormat::Csv,
        mapping: [("E-Mail", "email"), ("Vorname", "first_name")].map(|(c, f)| (c.into(), f.into())).into(),
        duplicates: Duplicates::Merge,
        encoding: "utf-8".into(),
        blob: "ab".repeat(32),
        dry_run: false,
        tags: vec!["fair".into()],
    }
}

fn started() -> ImportEvent {
    ImportStarted { plan: plan() }.into()
}

fn mark(created: u64, failed: u64, offset: u64) -> ImportProgress {
    ImportProgress { rows: created + failed, created, failed, offset, ..ImportProgress::default() }
}

fn undo_mark(removed: u64, kept: u64) -> UndoProgress {
    UndoProgress { rows: removed + kept, removed, kept }
}

fn ended() -> [ImportEvent; 3] {
    [
        ImportFinished { progress: mark(9, 1, 500) }.into(),
        ImportFailed { reason: "the file is gone".into() }.into(),
        ImportCancelled {}.into(),
    ]
}

#[test]
fn an_import_is_started_once_in_its_normal_form() {
    let asked =
        ImportPlan { label: " Spring fair ".into(), encoding: "UTF-8".into(), tags: vec!["FAIR".into()], ..plan() };
    given::<Import>([]).when(ImportCommand::Start { plan: asked }).then([started()]);
    given::<Import>([started()]).when(ImportCommand::Start { plan: plan() }).then_rejected(R::Exists);
}

#[test]
fn a_plan_is_checked_field_by_field() {
    let mapped = |pairs: &[(&str, &str)]| ImportPlan {
        mapping: pairs.iter().map(|(c, f)| ((*c).into(), (*f).into())).collect(),
        ..plan()
    };
    let many = ImportPlan { mapping: (0..=MAX_COLUMNS).map(|i| (i.to_string(), "email".into())).collect(), ..plan() };
    let table = [
        (ImportPlan { label: " ".into(), ..plan() }, R::InvalidLabel),
        (ImportPlan { label: "a\nb".into(), ..plan() }, R::InvalidLabel),
        (ImportPlan { encoding: "utf 8".into(), ..plan() }, R::InvalidEncoding),
        (ImportPlan { encoding: String::new(), ..plan() }, R::InvalidEncoding),
        (ImportPlan { blob: "AB".repeat(32), ..plan() }, R::InvalidBlob),
        (ImportPlan { blob: "../../etc/passwd".into(), ..plan() }, R::InvalidBlob),
        (ImportPlan { tags: vec!["ok".into(), "a\u{0}".into()], ..plan() }, R::InvalidTag { index: 1 }),
        (ImportPlan { tags: (0..101).map(|i| format!("t{i}")).collect(), ..plan() }, R::TooManyTags),
        (mapped(&[]), R::NoEmail),
        (mapped(&[("a", "first_name")]), R::NoEmail),
        (mapped(&[("a", "email"), ("b", "email")]), R::FieldTwice { field: "email".into() }),
        (mapped(&[("a", "email"), ("b", "iban")]), R::UnknownField { field: "iban".into() }),
        (mapped(&[("a\tb", "email")]), R::InvalidColumn),
        (many, R::TooManyColumns),
    ];
    for (plan, expected) in table {
        given::<Import>([]).when(ImportCommand::Start { plan }).then_rejected(expected);
    }
}

#[test]
fn progress_only_goes_forward_and_adds_up() {
    let advance = |progress| ImportCommand::Advance { progress };
    let at = |progress| [started(), ImportProgressed { progress }.into()];
    let state = given::<Import>([started()])
        .when(advance(mark(499, 1, 20_000)))
        .then([ImportProgressed { progress: mark(499, 1, 20_000) }.into()]);
    assert_eq!((state.status(), state.progress().offset), (ImportStatus::Running, 20_000));
    given::<Import>(at(mark(5, 0, 99))).when(advance(mark(5, 0, 99))).then([]);
    given::<Import>(at(mark(5, 0, 99))).when(advance(mark(4, 1, 99))).then_rejected(R::Backwards);
    given::<Import>(at(mark(5, 0, 99))).when(advance(mark(6, 0, 98))).then_rejected(R::Backwards);
    let uneven = ImportProgress { rows: 3, created: 1, ..ImportProgress::default() };
    given::<Import>([started()]).when(advance(uneven)).then_rejected(R::Uneven);
    let overflow = ImportProgress { rows: 0, created: u64::MAX, failed: 1, ..ImportProgress::default() };
    given::<Import>([started()]).when(advance(overflow)).then_rejected(R::Uneven);
    given::<Import>([]).when(advance(mark(1, 0, 1))).then_rejected(R::Unknown);
}

#[test]
fn a_running_import_ends_in_one_of_three_ways() {
    let commands = || {
        [
            ImportCommand::Finish { progress: mark(9, 1, 500) },
            ImportCommand::Fail { reason: "the file is gone".into() },
            ImportCommand::Cancel,
        ]
    };
    for (index, command) in commands().into_iter().enumerate() {
        given::<Import>([started()]).when(command).then([ended()[index].clone()]);
    }
    for (is, end) in ended().into_iter().enumerate() {
        for (asked, command) in commands().into_iter().enumerate() {
            let outcome = given::<Import>([started(), end.clone()]).when(command);
            if is == asked { _ = outcome.then([]) } else { outcome.then_rejected(R::NotRunning) }
        }
        let late = ImportCommand::Advance { progress: mark(10, 1, 600) };
        given::<Import>([started(), end]).when(late).then_rejected(R::NotRunning);
    }
    given::<Import>([started()]).when(ImportCommand::Fail { reason: " ".into() }).then_rejected(R::InvalidReason);
    given::<Import>([]).when(ImportCommand::Cancel).then_rejected(R::Unknown);
}

#[test]
fn rows_that_were_under_way_are_counted_after_a_cancellation() {
    let settle = |progress| ImportCommand::Settle { progress };
    let [finished, _, cancelled] = ended();
    let counted: ImportEvent = ImportProgressed { progress: mark(12, 1, 700) }.into();
    for history in [vec![started(), cancelled.clone()], vec![started(), cancelled.clone(), ImportUndoStarted {}.into()]]
    {
        let state = given::<Import>(history.clone()).when(settle(mark(12, 1, 700))).then([counted.clone()]);
        assert_eq!(state.progress().rows, mark(12, 1, 700).rows);
        let again = history.into_iter().chain([counted.clone()]);
        given::<Import>(again).when(settle(mark(12, 1, 700))).then([]);
    }
    given::<Import>([started()]).when(settle(mark(1, 0, 9))).then_rejected(R::NotCancelled);
    given::<Import>([started(), finished]).when(settle(mark(12, 1, 700))).then_rejected(R::NotCancelled);
    given::<Import>([]).when(settle(mark(1, 0, 9))).then_rejected(R::Unknown);
}

#[test]
fn what_has_ended_can_be_undone_unless_nothing_was_stored() {
    for end in ended() {
        given::<Import>([started(), end]).when(ImportCommand::StartUndo).then([ImportUndoStarted {}.into()]);
    }
    given::<Import>([started()]).when(ImportCommand::StartUndo).then_rejected(R::StillRunning);
    given::<Import>([]).when(ImportCommand::StartUndo).then_rejected(R::Unknown);
    let dry: ImportEvent = ImportStarted { plan: ImportPlan { dry_run: true, ..plan() } }.into();
    for end in ended() {
        given::<Import>([dry.clone(), end]).when(ImportCommand::StartUndo).then_rejected(R::DryRun);
    }
}

#[test]
fn undoing_has_marks_and_an_end() {
    let [end, ..] = ended();
    let undoing = || [started(), end.clone(), ImportUndoStarted {}.into()];
    let advance = |progress| ImportCommand::AdvanceUndo { progress };
    let finish = |progress| ImportCommand::FinishUndo { progress };
    let undone: ImportEvent = ImportUndone { progress: undo_mark(8, 1) }.into();
    given::<Import>(undoing())
        .when(advance(undo_mark(4, 1)))
        .then([ImportUndoProgressed { progress: undo_mark(4, 1) }.into()]);
    let marked = || undoing().into_iter().chain([ImportUndoProgressed { progress: undo_mark(4, 1) }.into()]);
    given::<Import>(marked()).when(advance(undo_mark(4, 1))).then([]);
    given::<Import>(marked()).when(advance(undo_mark(3, 2))).then_rejected(R::Backwards);
    given::<Import>(marked()).when(advance(UndoProgress { rows: 5, removed: 5, kept: 1 })).then_rejected(R::Uneven);
    let restored = UndoProgress { rows: 9, removed: 4, kept: 1 };
    given::<Import>(marked()).when(advance(restored)).then([ImportUndoProgressed { progress: restored }.into()]);
    let state = given::<Import>(marked()).when(finish(undo_mark(8, 1))).then([undone.clone()]);
    assert_eq!((state.status(), state.undo().removed), (ImportStatus::Undone, 8));
    let all = || marked().chain([undone.clone()]);
    given::<Import>(all()).when(finish(undo_mark(8, 1))).then([]);
    given::<Import>(all()).when(ImportCommand::StartUndo).then([]);
    given::<Import>(all()).when(advance(undo_mark(9, 1))).then_rejected(R::NotUndoing);
    given::<Import>([started()]).when(finish(undo_mark(1, 0))).then_rejected(R::NotUndoing);
}
