use super::*;
use crate::harness::{NOW, given};

fn content(blob: &str) -> Content {
    let pixels = Some(Pixels { width: 4, height: 3 });
    Content { blob: blob.repeat(64), size: 12, media_type: "image/png".into(), pixels }
}

fn upload(content: Content, name: &str) -> FileCommand {
    FileCommand::Upload { content, name: name.into(), alt: " A dot ".into() }
}

fn uploaded() -> FileEvent {
    let Content { blob, size, media_type, pixels } = content("a");
    FileUploaded { blob, size, media_type, name: "dot.png".into(), alt: "A dot".into(), pixels }.into()
}

fn deleted() -> FileEvent {
    FileDeleted { until: NOW.plus_seconds(30 * 86_400) }.into()
}

fn change(name: Option<&str>, alt: Option<&str>) -> FileCommand {
    FileCommand::Change { name: name.map(Into::into), alt: alt.map(Into::into) }
}

#[test]
fn an_upload_is_kept_as_what_it_is() {
    let file = given::<File>([]).when(upload(content("a"), "C:\\dot.png")).then([uploaded()]);
    assert_eq!(file.served().map(|file| file.name.as_str()), Some("dot.png"));
    given::<File>([uploaded()]).when(upload(content("a"), "other.png")).then([]);
    given::<File>([uploaded()]).when(upload(content("b"), "dot.png")).then_rejected(FileRejection::Exists);
}

#[test]
fn what_is_not_allowed_is_refused() {
    let typed = |name: &str| Content { media_type: name.into(), ..content("a") };
    given::<File>([]).when(upload(typed("text/html"), "a.html")).then_rejected(FileRejection::TypeNotAllowed);
    given::<File>([]).when(upload(content("a"), "..")).then_rejected(FileRejection::InvalidName);
    let bomb = Content { pixels: Some(Pixels { width: u32::MAX, height: u32::MAX }), ..content("a") };
    given::<File>([]).when(upload(bomb, "a.png")).then_rejected(FileRejection::TooManyPixels);
    let largest = Content { pixels: Some(Pixels { width: 10_000, height: 5_000 }), ..content("a") };
    assert_eq!(given::<File>([]).when(upload(largest, "a.png")).decision().events.len(), 1);
    let alt = FileCommand::Upload { content: content("a"), name: "a.png".into(), alt: "x".repeat(501) };
    given::<File>([]).when(alt).then_rejected(FileRejection::TooLong { field: "alt", max: 500 });
}

#[test]
fn names_and_texts_change_apart() {
    let renamed = FileRenamed { name: "point.png".into() };
    let described = FileDescribed { alt: "A point".into() };
    given::<File>([uploaded()])
        .when(change(Some("point"), Some("A point")))
        .then([renamed.into(), described.clone().into()]);
    given::<File>([uploaded()]).when(change(None, Some("A point"))).then([described.into()]);
    given::<File>([uploaded()]).when(change(Some("dot.png"), Some("A dot"))).then([]);
    given::<File>([uploaded()])
        .when(change(None, Some("a\nb")))
        .then_rejected(FileRejection::InvalidText { field: "alt" });
    given::<File>([uploaded(), deleted()]).when(change(None, Some("x"))).then_rejected(FileRejection::Deleted);
    given::<File>([]).when(change(None, None)).then_rejected(FileRejection::Unknown);
}

#[test]
fn a_deleted_file_comes_back_for_thirty_days() {
    let file = given::<File>([uploaded()]).when(FileCommand::Delete).then([deleted()]);
    assert!(file.served().is_none() && file.blob().is_some());
    given::<File>([uploaded(), deleted()]).when(FileCommand::Delete).then([]);
    given::<File>([uploaded(), deleted()]).when(FileCommand::Reinstate).then([FileReinstated {}.into()]);
    given::<File>([uploaded()]).when(FileCommand::Reinstate).then([]);
    let long_ago = FileDeleted { until: Micros(NOW.0 - 1) };
    given::<File>([uploaded(), long_ago.into()]).when(FileCommand::Reinstate).then_rejected(FileRejection::TooLate);
    given::<File>([]).when(FileCommand::Delete).then_rejected(FileRejection::Unknown);
}

#[test]
fn what_is_erased_stays_gone() {
    let file = given::<File>([uploaded(), deleted()]).when(FileCommand::Erase).then([FileErased {}.into()]);
    assert!(file.is_erased() && file.blob().is_none() && file.served().is_none());
    let erased = || [uploaded(), FileErased {}.into()];
    given::<File>(erased()).when(FileCommand::Erase).then([]);
    given::<File>([]).when(FileCommand::Erase).then_rejected(FileRejection::Unknown);
    for command in [FileCommand::Delete, FileCommand::Reinstate, change(None, None), upload(content("a"), "dot.png")] {
        given::<File>(erased()).when(command).then_rejected(FileRejection::Erased);
    }
}
