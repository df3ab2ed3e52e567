//! A page of a site: a draft that editors change and, once published, what visitors see.

use crate::events;
use serde::{Deserialize, Serialize};

events! {
    /// What can happen to a page. Whatever changes what visitors see names site and address, so that a view of the live
    /// site needs no other event.
    pub enum PageEvent {
        Created(PageCreated) = "page.created" @ 1,
        Edited(PageEdited) = "page.edited" @ 1,
        Restored(PageRestored) = "page.restored" @ 1,
        Published(PagePublished) = "page.published" @ 1,
        Unpublished(PageUnpublished) = "page.unpublished" @ 1,
        SlugRenamed(PageSlugRenamed) = "page.slug_renamed" @ 1,
        RedirectDropped(PageRedirectDropped) = "page.redirect_dropped" @ 1,
        Removed(PageRemoved) = "page.removed" @ 1,
        Reinstated(PageReinstated) = "page.reinstated" @ 1,
    }
}

/// What a page says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageContent {
    pub title: String,
    /// For search engines and previews.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The source of a minijinja template.
    pub body: String,
}

/// A page exists; nobody but editors sees it. Its content is revision 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageCreated {
    pub site: String,
    /// The address below the site: `about/team`, empty for the home page.
    pub slug: String,
    pub content: PageContent,
}

/// The draft is now this, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageEdited {
    /// Contents of a page are counted 1, 2, 3…; a number never comes twice.
    pub revision: u64,
    pub content: PageContent,
}

/// The draft says again what an earlier revision said. It is a revision of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageRestored {
    pub revision: u64,
    pub restored_from: u64,
    pub content: PageContent,
}

/// Visitors see this from now on. Whole, so that what was live at a time needs this one event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PagePublished {
    pub site: String,
    pub slug: String,
    pub revision: u64,
    pub content: PageContent,
}

/// Visitors no longer see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageUnpublished {
    pub site: String,
    pub slug: String,
}

/// The page has another address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageSlugRenamed {
    pub site: String,
    pub from: String,
    pub to: String,
    /// Whether the old address stays the page's and leads to the new one.
    pub redirect: bool,
}

/// An old address no longer leads here and is free.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageRedirectDropped {
    pub site: String,
    pub slug: String,
}

/// The page is gone, with its address and those that led to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageRemoved {
    pub site: String,
    pub slug: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirects: Vec<String>,
}

/// A removed page is back as an unpublished draft, at this address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageReinstated {
    pub site: String,
    pub slug: String,
    pub revision: u64,
    pub content: PageContent,
}
