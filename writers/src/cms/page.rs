//! Pages: editors change the draft, publishing makes it what visitors see, and an address belongs to one page of a site.
//!
//! The address of a page is held by the claim `page-slug`. An address that visitors may know stays the page's when the
//! page moves, and leads to the new one until it is dropped.

mod content;
mod service;

use crate::{
    decider::{Ctx, Decider, Decision},
    rejections,
    text::TextFault,
};
use bus_schema::{
    claim::ClaimHash,
    cms::page::{
        PageContent, PageCreated, PageEdited, PageEvent, PagePublished, PageRedirectDropped, PageReinstated,
        PageRemoved, PageRestored, PageSlugRenamed, PageUnpublished,
    },
};
pub use content::{MAX_BODY, MAX_SLUG, is_reserved, valid_slug};
use serde::{Deserialize, Serialize};
pub use service::{content_of, create, restore};
use std::{collections::BTreeSet, sync::Arc};

/// The site of a tenant that has not named any.
pub const DEFAULT_SITE: &str = "main";
/// Old addresses one page can keep.
pub const MAX_REDIRECTS: usize = 100;

/// A page. Contents are shared, so copying the state is cheap.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Page {
    site: String,
    slug: String,
    /// The number of the draft, which is the newest; 0: there never was such a page.
    revision: u64,
    draft: Arc<PageContent>,
    live: Option<Live>,
    /// Whether visitors may know its address.
    ever_published: bool,
    redirects: BTreeSet<String>,
    removed: bool,
}

/// What visitors see.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Live {
    revision: u64,
    content: Arc<PageContent>,
}

/// What can be asked of a page.
#[derive(Clone, Debug)]
pub enum PageCommand {
    Create {
        site: String,
        slug: String,
        content: PageContent,
    },
    /// Changes the draft.
    Edit {
        content: PageContent,
    },
    /// Makes the draft what visitors see.
    Publish,
    Unpublish,
    RenameSlug {
        slug: String,
    },
    /// Gives an old address back.
    DropRedirect {
        slug: String,
    },
    /// Makes an earlier content the draft. `content` is what that revision said: [`restore`] finds it in the history.
    Restore {
        revision: u64,
        content: PageContent,
    },
    /// Makes what visitors see the draft.
    DiscardDraft,
    Remove,
    /// Undoes a removal, at another address if its own was taken since.
    Reinstate {
        slug: Option<String>,
    },
}

rejections! {
    /// Why a command to a page is refused.
    pub enum PageRejection {
        Unknown: Missing, "page_not_found", "", "there is no such page";
        Exists: State, "page_exists", "", "the page exists already";
        Removed: State, "page_removed", "", "the page was removed; reinstate it first";
        SlugTaken: State, "slug_taken", "/slug", "another page of the site has this address, now or as a redirect";
        InvalidSlug: Invalid, "invalid_slug", "/slug", "an address has segments of a-z, 0-9, '-' and '_' joined by '/', at most 200 characters; the home page's is empty";
        ReservedSlug: Invalid, "reserved_slug", "/slug", "this address is answered by the platform itself; choose another first segment";
        InvalidSite: Invalid, "invalid_site", "/site", "a site is named by 1 to 40 of a-z, 0-9 and '-'";
        UnknownRedirect: Missing, "redirect_not_found", "/slug", "no such old address leads to the page";
        TooManyRedirects: State, "too_many_redirects", "/slug", "a page keeps at most 100 old addresses; drop some first";
        UnknownRevision { revision: u64 }: Missing, "revision_not_found", "/revision", "the page has no revision {revision}";
        NotPublished: State, "not_published", "", "the page is not published, so there is nothing to go back to";
        Required { field: &'static str }: Invalid, "required", "/{field}", "must not be empty";
        TooLong { field: &'static str, max: usize }: Invalid, "too_long", "/{field}", "at most {max} are allowed (bytes of the body, characters of other fields)";
        InvalidText { field: &'static str }: Invalid, "invalid_text", "/{field}", "control characters are not allowed";
    }
}

impl From<TextFault> for PageRejection {
    fn from(fault: TextFault) -> Self {
        match fault {
            TextFault::Missing { field } => Self::Required { field },
            TextFault::TooLong { field, max } => Self::TooLong { field, max },
            TextFault::Control { field } => Self::InvalidText { field },
        }
    }
}

impl Page {
    pub fn site(&self) -> &str {
        &self.site
    }

    pub fn slug(&self) -> &str {
        &self.slug
    }

    /// The number of the newest content.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub fn draft(&self) -> &PageContent {
        &self.draft
    }

    /// The number and content of what visitors see.
    pub fn live(&self) -> Option<(u64, &PageContent)> {
        self.live.as_ref().map(|live| (live.revision, &*live.content))
    }

    pub fn is_removed(&self) -> bool {
        self.removed
    }

    /// The old addresses that lead here.
    pub fn redirects(&self) -> impl Iterator<Item = &str> {
        self.redirects.iter().map(String::as_str)
    }

    fn exists(&self) -> Result<(), PageRejection> {
        if self.revision == 0 { Err(PageRejection::Unknown) } else { Ok(()) }
    }

    fn present(&self) -> Result<(), PageRejection> {
        self.exists()?;
        if self.removed { Err(PageRejection::Removed) } else { Ok(()) }
    }

    fn claim(&self, ctx: &Ctx, slug: &str) -> ClaimHash {
        claim(ctx, &self.site, slug)
    }

    /// The draft said again by an earlier revision; nothing if it says that already.
    fn restored(&self, from: u64, content: PageContent) -> Decision<PageEvent> {
        if content == *self.draft {
            return Decision::nothing();
        }
        Decision::event(PageRestored { revision: self.revision + 1, restored_from: from, content })
    }

    fn rename(&self, slug: &str, ctx: &Ctx) -> Result<Decision<PageEvent>, PageRejection> {
        let to = valid_slug(slug)?.to_owned();
        if to == self.slug {
            return Ok(Decision::nothing());
        }
        let (returns, redirect) = (self.redirects.contains(&to), self.ever_published);
        if redirect && !returns && self.redirects.len() >= MAX_REDIRECTS {
            return Err(PageRejection::TooManyRedirects);
        }
        let renamed = PageSlugRenamed { site: self.site.clone(), from: self.slug.clone(), to, redirect };
        let mut decision = Decision::nothing();
        if !returns {
            decision = decision.taking(SLUG, self.claim(ctx, &renamed.to));
        }
        if !redirect {
            decision = decision.releasing(SLUG, self.claim(ctx, &self.slug));
        }
        Ok(decision.and(renamed))
    }

    fn remove(&self, ctx: &Ctx) -> Decision<PageEvent> {
        let removed = PageRemoved {
            site: self.site.clone(),
            slug: self.slug.clone(),
            redirects: self.redirects.iter().cloned().collect(),
        };
        let mut decision = Decision::event(removed).releasing(SLUG, self.claim(ctx, &self.slug));
        for slug in &self.redirects {
            decision = decision.releasing(SLUG, self.claim(ctx, slug));
        }
        decision
    }

    fn reinstate(&self, slug: Option<&str>, ctx: &Ctx) -> Result<Decision<PageEvent>, PageRejection> {
        let slug = valid_slug(slug.unwrap_or(&self.slug))?.to_owned();
        if !self.removed {
            return if slug == self.slug { Ok(Decision::nothing()) } else { Err(PageRejection::Exists) };
        }
        let claim = self.claim(ctx, &slug);
        let (site, content) = (self.site.clone(), (*self.draft).clone());
        Ok(Decision::event(PageReinstated { site, slug, revision: self.revision, content }).taking(SLUG, claim))
    }
}

impl Decider for Page {
    type Event = PageEvent;
    type Command = PageCommand;
    type Rejection = PageRejection;

    fn decide(&self, command: &PageCommand, ctx: &Ctx) -> Result<Decision<PageEvent>, PageRejection> {
        use PageRejection as R;
        match command {
            PageCommand::Create { .. } => {}
            PageCommand::Remove | PageCommand::Reinstate { .. } => self.exists()?,
            _ => self.present()?,
        }
        match command {
            PageCommand::Create { site, slug, content } => {
                let (site, slug) = (content::valid_site(site)?.to_owned(), valid_slug(slug)?.to_owned());
                let content = content::valid_content(content)?;
                if self.revision > 0 {
                    return Err(R::Exists);
                }
                let claim = claim(ctx, &site, &slug);
                Ok(Decision::event(PageCreated { site, slug, content }).taking(SLUG, claim))
            }
            PageCommand::Edit { content } => {
                let content = content::valid_content(content)?;
                if content == *self.draft {
                    return Ok(Decision::nothing());
                }
                Ok(Decision::event(PageEdited { revision: self.revision + 1, content }))
            }
            PageCommand::Publish => {
                if self.live.as_ref().is_some_and(|live| live.content == self.draft) {
                    return Ok(Decision::nothing());
                }
                Ok(Decision::event(PagePublished {
                    site: self.site.clone(),
                    slug: self.slug.clone(),
                    revision: self.revision,
                    content: (*self.draft).clone(),
                }))
            }
            PageCommand::Unpublish => match self.live {
                Some(_) => Ok(Decision::event(PageUnpublished { site: self.site.clone(), slug: self.slug.clone() })),
                None => Ok(Decision::nothing()),
            },
            PageCommand::RenameSlug { slug } => self.rename(slug, ctx),
            PageCommand::DropRedirect { slug } => {
                if !self.redirects.contains(slug) {
                    return Err(R::UnknownRedirect);
                }
                let dropped = PageRedirectDropped { site: self.site.clone(), slug: slug.clone() };
                Ok(Decision::event(dropped).releasing(SLUG, self.claim(ctx, slug)))
            }
            PageCommand::Restore { revision, content } => {
                if !(1..=self.revision).contains(revision) {
                    return Err(R::UnknownRevision { revision: *revision });
                }
                Ok(self.restored(*revision, content.clone()))
            }
            PageCommand::DiscardDraft => {
                let live = self.live.as_ref().ok_or(R::NotPublished)?;
                Ok(self.restored(live.revision, (*live.content).clone()))
            }
            PageCommand::Remove if self.removed => Ok(Decision::nothing()),
            PageCommand::Remove => Ok(self.remove(ctx)),
            PageCommand::Reinstate { slug } => self.reinstate(slug.as_deref(), ctx),
        }
    }

    fn evolve(&mut self, event: &PageEvent) {
        match event {
            PageEvent::Created(created) => {
                self.site = created.site.clone();
                self.slug = created.slug.clone();
                self.write(1, &created.content);
            }
            PageEvent::Edited(edited) => self.write(edited.revision, &edited.content),
            PageEvent::Restored(restored) => self.write(restored.revision, &restored.content),
            PageEvent::Published(published) => {
                self.live = Some(Live { revision: published.revision, content: self.draft.clone() });
                self.ever_published = true;
            }
            PageEvent::Unpublished(_) => self.live = None,
            PageEvent::SlugRenamed(renamed) => {
                self.redirects.remove(&renamed.to);
                if renamed.redirect {
                    self.redirects.insert(renamed.from.clone());
                }
                self.slug = renamed.to.clone();
            }
            PageEvent::RedirectDropped(dropped) => _ = self.redirects.remove(&dropped.slug),
            PageEvent::Removed(_) => {
                self.removed = true;
                self.live = None;
                self.redirects.clear();
            }
            PageEvent::Reinstated(reinstated) => {
                self.removed = false;
                self.slug = reinstated.slug.clone();
                // Its address was given up: nobody is led to it before it is published again.
                self.ever_published = false;
            }
        }
    }

    fn creates(command: &PageCommand) -> bool {
        matches!(command, PageCommand::Create { .. })
    }

    fn claim_taken(_what: &'static str, _owner: &str) -> PageRejection {
        PageRejection::SlugTaken
    }
}

impl Page {
    fn write(&mut self, revision: u64, content: &PageContent) {
        self.revision = revision;
        self.draft = Arc::new(content.clone());
    }
}

/// The claim that holds an address.
const SLUG: &str = "page-slug";

fn claim(ctx: &Ctx, site: &str, slug: &str) -> ClaimHash {
    ctx.claim(SLUG, &format!("{site}/{slug}"))
}

#[cfg(test)]
mod tests;
