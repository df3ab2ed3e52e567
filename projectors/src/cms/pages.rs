//! Pages as editors look at them: the draft, and what of it is live.

use crate::{
    record_view::{Happening, Record, RecordView},
    search::{Doc, FieldValue, TextPart, Weight},
};
use bus_schema::{
    Keyring, Micros, TenantId,
    cms::page::{PageContent, PageEvent},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use uuid::Uuid;

/// How much of a page's words search knows, in bytes.
const MAX_WORDS: usize = 64 * 1024;

pub struct Pages;

/// Where a page stands between its editors and its visitors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nobody but editors sees it.
    Draft,
    /// Visitors see the draft.
    Published,
    /// Visitors see an earlier content.
    Changed,
    Removed,
}

impl Status {
    pub fn text(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Published => "published",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

/// A page with its draft.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageRow {
    pub site: String,
    pub slug: String,
    /// The number of the draft.
    pub draft_revision: u64,
    pub draft: PageContent,
    pub live: Option<LiveRow>,
    /// Old addresses that lead to it.
    pub redirects: BTreeSet<String>,
    pub removed: bool,
}

/// What is remembered here of the content visitors see; the whole of it is in the view of routes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LiveRow {
    pub revision: u64,
    pub title: String,
    pub published_at: Micros,
    /// Tells whether the draft says the same, also when it came back to it under another number.
    digest: [u8; 32],
}

impl PageRow {
    pub fn status(&self) -> Status {
        match &self.live {
            _ if self.removed => Status::Removed,
            None => Status::Draft,
            Some(live) if live.revision == self.draft_revision || live.digest == digest(&self.draft) => {
                Status::Published
            }
            Some(_) => Status::Changed,
        }
    }

    fn write(&mut self, revision: u64, content: &PageContent) {
        self.draft_revision = revision;
        self.draft = content.clone();
    }
}

fn digest(content: &PageContent) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [&content.title, &content.description, &content.body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

impl RecordView for Pages {
    const NAME: &'static str = "pages";
    const VERSION: u32 = 1;
    type Event = PageEvent;
    type Row = PageRow;

    fn fold(row: Option<PageRow>, event: &PageEvent, happening: &Happening) -> Option<PageRow> {
        if let PageEvent::Created(created) = event {
            return Some(PageRow {
                site: created.site.clone(),
                slug: created.slug.clone(),
                draft_revision: 1,
                draft: created.content.clone(),
                live: None,
                redirects: BTreeSet::new(),
                removed: false,
            });
        }
        let mut row = row?;
        match event {
            PageEvent::Created(_) => {}
            PageEvent::Edited(edited) => row.write(edited.revision, &edited.content),
            PageEvent::Restored(restored) => row.write(restored.revision, &restored.content),
            PageEvent::Published(published) => {
                row.live = Some(LiveRow {
                    revision: published.revision,
                    title: published.content.title.clone(),
                    published_at: happening.at,
                    digest: digest(&published.content),
                });
            }
            PageEvent::Unpublished(_) => row.live = None,
            PageEvent::SlugRenamed(renamed) => {
                row.redirects.remove(&renamed.to);
                if renamed.redirect {
                    row.redirects.insert(renamed.from.clone());
                }
                row.slug.clone_from(&renamed.to);
            }
            PageEvent::RedirectDropped(dropped) => _ = row.redirects.remove(&dropped.slug),
            PageEvent::Removed(_) => {
                row.removed = true;
                row.live = None;
                row.redirects.clear();
            }
            PageEvent::Reinstated(reinstated) => {
                row.removed = false;
                row.slug.clone_from(&reinstated.slug);
                row.write(reinstated.revision, &reinstated.content);
            }
        }
        Some(row)
    }

    fn document(tenant: &TenantId, id: Uuid, record: &Record<PageRow>, _keys: &Keyring) -> Option<Doc> {
        let row = &record.row;
        let text = |field: &str, value: &str| (field.to_owned(), FieldValue::Str(value.to_owned()));
        let mut fields = vec![
            text("title", &row.draft.title),
            text("site", &row.site),
            text("slug", &row.slug),
            text("status", row.status().text()),
            ("created_at".to_owned(), FieldValue::Time(record.created_at.0)),
            ("updated_at".to_owned(), FieldValue::Time(record.updated_at.0)),
        ];
        let published_at = row.live.as_ref().map(|live| live.published_at.0);
        fields.extend(published_at.map(|at| ("published_at".to_owned(), FieldValue::Time(at))));
        let body = [&row.draft.description, &words(&row.draft.body), &row.slug].map(String::as_str).join(" ");
        Some(Doc {
            tenant: tenant.to_string(),
            collection: Self::NAME.to_owned(),
            id: id.to_string(),
            text: vec![
                TextPart { weight: Weight::Heading, text: row.draft.title.clone() },
                TextPart { weight: Weight::Body, text: body },
            ],
            fields,
        })
    }
}

/// The words of a template's source, without its tags. For finding, not for showing, so it need not be exact.
fn words(source: &str) -> String {
    let mut words = String::new();
    let mut rest = source;
    while let Some(at) = rest.find(['<', '{']) {
        words.push_str(&rest[..at]);
        words.push(' ');
        let tag = &rest[at..];
        let closing = match tag.as_bytes() {
            [b'<', ..] => ">",
            [b'{', b'{', ..] => "}}",
            [b'{', b'%', ..] => "%}",
            [b'{', b'#', ..] => "#}",
            _ => "{",
        };
        rest = tag.find(closing).map_or("", |end| &tag[end + closing.len()..]);
        if words.len() > MAX_WORDS {
            break;
        }
    }
    words.push_str(rest);
    words.truncate(words.floor_char_boundary(MAX_WORDS));
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus_schema::{
        Actor,
        cms::page::{
            PageCreated, PageEdited, PagePublished, PageReinstated, PageRemoved, PageRestored, PageSlugRenamed,
            PageUnpublished,
        },
    };

    fn content(title: &str) -> PageContent {
        PageContent { title: title.into(), body: format!("<h1>{title}</h1>"), ..PageContent::default() }
    }

    fn fold(events: &[PageEvent]) -> PageRow {
        let mut row = None;
        for (seq, event) in events.iter().enumerate() {
            let at = Micros(1_767_225_600_000_000 + seq as i64);
            row = Pages::fold(row, event, &Happening { id: Uuid::nil(), seq: seq as u64, at, actor: Actor::Visitor });
        }
        row.unwrap()
    }

    fn created() -> PageEvent {
        PageCreated { site: "main".into(), slug: "a".into(), content: content("One") }.into()
    }

    fn published(revision: u64, title: &str) -> PageEvent {
        PagePublished { site: "main".into(), slug: "a".into(), revision, content: content(title) }.into()
    }

    fn edited(revision: u64, title: &str) -> PageEvent {
        PageEdited { revision, content: content(title) }.into()
    }

    #[test]
    fn the_status_follows_draft_and_live_content() {
        let mut events = vec![created()];
        assert_eq!(fold(&events).status(), Status::Draft);
        events.extend([edited(2, "Two"), published(2, "Two")]);
        assert_eq!(fold(&events).status(), Status::Published);
        events.push(edited(3, "Three"));
        let row = fold(&events);
        assert_eq!((row.status(), row.draft.title.as_str()), (Status::Changed, "Three"));
        assert_eq!(row.live.unwrap().title, "Two");
        events.push(PageRestored { revision: 4, restored_from: 2, content: content("Two") }.into());
        let row = fold(&events);
        assert_eq!((row.status(), row.draft_revision), (Status::Published, 4));
        events.push(PageUnpublished { site: "main".into(), slug: "a".into() }.into());
        assert_eq!(fold(&events).status(), Status::Draft);
    }

    #[test]
    fn addresses_are_kept_until_the_page_is_removed() {
        let rename = |from: &str, to: &str, redirect| -> PageEvent {
            PageSlugRenamed { site: "main".into(), from: from.into(), to: to.into(), redirect }.into()
        };
        let mut events = vec![created(), rename("a", "b", false), published(1, "One"), rename("b", "c", true)];
        let row = fold(&events);
        assert!(row.slug == "c" && row.redirects.iter().eq(["b"]));
        events.push(rename("c", "b", true));
        assert!(fold(&events).redirects.iter().eq(["c"]));
        let redirects = vec!["c".into()];
        events.push(PageRemoved { site: "main".into(), slug: "b".into(), redirects }.into());
        let row = fold(&events);
        assert!(row.status() == Status::Removed && row.redirects.is_empty() && row.live.is_none());
        events.push(
            PageReinstated { site: "main".into(), slug: "d".into(), revision: 1, content: content("One") }.into(),
        );
        let row = fold(&events);
        assert_eq!((row.status(), row.slug.as_str()), (Status::Draft, "d"));
    }

    #[test]
    fn search_sees_words_and_no_tags() {
        let found = words("<p class=\"x\">Tea {{ page.title }}&amp;{% if a %} cup{# no #}</p> {x");
        assert_eq!(found.split_whitespace().collect::<Vec<_>>(), ["Tea", "&amp;", "cup", "x"]);
        assert!(words(&"ä<".repeat(60_000)).len() <= MAX_WORDS);
        assert_eq!(words("{"), " ");
    }
}
