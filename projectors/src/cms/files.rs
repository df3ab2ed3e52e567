//! Files as editors look at them, and as the site finds them by their id.

use crate::{
    record_view::{Happening, Record, RecordView},
    search::{Doc, FieldValue, TextPart, Weight},
};
use bus_schema::{
    Actor, Keyring, Micros, TenantId,
    cms::{
        file::{FileEvent, FileUploaded, Pixels},
        media,
    },
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub struct Files;

/// What a file is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileRow {
    pub blob: String,
    pub size: u64,
    pub media_type: String,
    pub name: String,
    pub alt: String,
    pub pixels: Option<Pixels>,
    /// Set while it is deleted: until then it can be brought back.
    pub until: Option<Micros>,
    pub uploaded_by: Actor,
}

impl FileRow {
    /// What lists count by: `image`, `document`.
    pub fn family(&self) -> &'static str {
        media::find(&self.media_type).map_or("document", |media| media.family.name())
    }

    pub fn is_deleted(&self) -> bool {
        self.until.is_some()
    }
}

impl RecordView for Files {
    const NAME: &'static str = "files";
    const VERSION: u32 = 1;
    type Event = FileEvent;
    type Row = FileRow;

    fn fold(row: Option<FileRow>, event: &FileEvent, happening: &Happening) -> Option<FileRow> {
        if let FileEvent::Uploaded(uploaded) = event {
            let FileUploaded { blob, size, media_type, name, alt, pixels } = uploaded.clone();
            let uploaded_by = happening.actor.clone();
            return Some(FileRow { blob, size, media_type, name, alt, pixels, until: None, uploaded_by });
        }
        let row = row?;
        match event {
            FileEvent::Uploaded(_) => Some(row),
            FileEvent::Renamed(renamed) => Some(FileRow { name: renamed.name.clone(), ..row }),
            FileEvent::Described(described) => Some(FileRow { alt: described.alt.clone(), ..row }),
            FileEvent::Deleted(deleted) => Some(FileRow { until: Some(deleted.until), ..row }),
            FileEvent::Reinstated(_) => Some(FileRow { until: None, ..row }),
            FileEvent::Erased(_) => None,
        }
    }

    fn document(tenant: &TenantId, id: Uuid, record: &Record<FileRow>, _keys: &Keyring) -> Option<Doc> {
        let row = &record.row;
        let fields = vec![
            ("name".to_owned(), FieldValue::Str(row.name.clone())),
            ("type".to_owned(), FieldValue::Str(row.media_type.clone())),
            ("family".to_owned(), FieldValue::Str(row.family().to_owned())),
            ("sha256".to_owned(), FieldValue::Str(row.blob.clone())),
            ("size".to_owned(), FieldValue::I64(i64::try_from(row.size).unwrap_or(i64::MAX))),
            ("deleted".to_owned(), FieldValue::Bool(row.is_deleted())),
            ("created_at".to_owned(), FieldValue::Time(record.created_at.0)),
            ("updated_at".to_owned(), FieldValue::Time(record.updated_at.0)),
        ];
        // `coffee-beans_2.png` is found by each of its words.
        let words = row.name.replace(['-', '_', '.'], " ");
        Some(Doc {
            tenant: tenant.to_string(),
            collection: Self::NAME.to_owned(),
            id: id.to_string(),
            text: vec![
                TextPart { weight: Weight::Heading, text: words },
                TextPart { weight: Weight::Body, text: row.alt.clone() },
            ],
            fields,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus_schema::cms::file::{FileDeleted, FileDescribed, FileErased, FileReinstated, FileRenamed};

    #[test]
    fn a_file_is_folded_to_its_end() {
        let happening = |seq: u64| Happening { id: Uuid::nil(), seq, at: Micros(7), actor: Actor::Visitor };
        let uploaded = FileUploaded {
            blob: "ab".repeat(32),
            size: 5,
            media_type: "image/png".into(),
            name: "a.png".into(),
            alt: String::new(),
            pixels: Some(Pixels { width: 2, height: 3 }),
        };
        let events: [FileEvent; 5] = [
            uploaded.into(),
            FileRenamed { name: "red-dot.png".into() }.into(),
            FileDescribed { alt: "A dot".into() }.into(),
            FileDeleted { until: Micros(99) }.into(),
            FileReinstated {}.into(),
        ];
        let folded = |count: usize| {
            events[..count]
                .iter()
                .enumerate()
                .fold(None, |row, (at, event)| Files::fold(row, event, &happening(at as u64)))
        };
        assert_eq!(folded(4).map(|row| row.until), Some(Some(Micros(99))));
        let row = folded(5).unwrap();
        assert_eq!((&*row.name, &*row.alt, row.is_deleted(), row.family()), ("red-dot.png", "A dot", false, "image"));
        assert_eq!(Files::fold(Some(row), &FileErased {}.into(), &happening(9)), None);
        assert_eq!(Files::fold(None, &FileReinstated {}.into(), &happening(9)), None);
    }
}
