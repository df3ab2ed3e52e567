//! What visitors see: which page an address leads to, and the live content of each page.
//!
//! | table       | partition       | body                                                  |
//! |-------------|-----------------|-------------------------------------------------------|
//! | `addresses` | `<site>/<slug>` | the id of the page that has the address, now or as a redirect |
//! | `live`      | page id         | [`LivePage`]                                          |
//! | `tenant`    | `tenant`        | [`SiteOwner`]                                         |
//!
//! So an answer takes two reads: the address with the tenant, then the page. A redirect is an address whose page has
//! another slug by now; renaming a page moves no content and touches no older redirect.

use crate::{
    projection::{Projection, ProjectionError, RowName, Rows},
    read_store::{ReadStorePort, RowKey},
    views::{ViewError, Views},
};
use bus_schema::{
    Address, AnyEvent, Micros, Recorded, TenantId,
    catalog::Catalogued,
    cms::page::{PageContent, PageEvent},
    codec,
    identity::tenant::TenantEvent,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

/// The name of the view.
pub const ROUTES: &str = "routes";

const ADDRESSES: &str = "addresses";
const LIVE: &str = "live";
const TENANT: &str = "tenant";

/// A page as the site knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LivePage {
    /// Position of the last event in it.
    #[serde(rename = "v")]
    pub seq: u64,
    pub site: String,
    pub slug: String,
    /// The last time something changed that visitors can see.
    pub changed_at: Micros,
    /// `None`: nobody but editors sees the page.
    pub live: Option<LiveContent>,
}

/// What visitors see of a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LiveContent {
    pub revision: u64,
    pub published_at: Micros,
    pub content: PageContent,
}

/// What a site says about its tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SiteOwner {
    pub name: String,
    /// BCP 47.
    pub locale: String,
    /// The tenant's own host names; the first is the one pages name as their own.
    pub hosts: Vec<String>,
    pub changed_at: Micros,
}

/// The page after one more of its events. Also what an answer as of an earlier time folds.
pub fn fold_page(page: Option<LivePage>, event: &PageEvent, seq: u64, at: Micros) -> Option<LivePage> {
    let hidden = |site: &str, slug: &str| {
        Some(LivePage { seq, site: site.to_owned(), slug: slug.to_owned(), changed_at: at, live: None })
    };
    match event {
        PageEvent::Created(created) => return hidden(&created.site, &created.slug),
        PageEvent::Reinstated(reinstated) => return hidden(&reinstated.site, &reinstated.slug),
        PageEvent::Unpublished(unpublished) => return hidden(&unpublished.site, &unpublished.slug),
        PageEvent::Removed(_) => return None,
        PageEvent::Edited(_) | PageEvent::Restored(_) | PageEvent::RedirectDropped(_) => return page,
        PageEvent::Published(_) | PageEvent::SlugRenamed(_) => {}
    }
    let mut page = page?;
    (page.seq, page.changed_at) = (seq, at);
    match event {
        PageEvent::Published(published) => {
            let (revision, content) = (published.revision, published.content.clone());
            page.live = Some(LiveContent { revision, published_at: at, content });
        }
        PageEvent::SlugRenamed(renamed) => page.slug.clone_from(&renamed.to),
        _ => {}
    }
    Some(page)
}

/// The tenant after one more of its events.
pub fn fold_owner(owner: Option<SiteOwner>, event: &TenantEvent, at: Micros) -> Option<SiteOwner> {
    if let TenantEvent::Created(created) = event {
        let (name, locale) = (created.name.clone(), created.locale.clone());
        return Some(SiteOwner { name, locale, hosts: Vec::new(), changed_at: at });
    }
    let mut owner = owner?;
    owner.changed_at = at;
    match event {
        TenantEvent::Renamed(renamed) => owner.name.clone_from(&renamed.name),
        TenantEvent::HostsSet(set) => owner.hosts.clone_from(&set.hosts),
        TenantEvent::Created(_) | TenantEvent::PostalAddressSet(_) => {}
    }
    Some(owner)
}

/// The view.
#[derive(Debug, Default)]
pub struct Routes;

fn address(site: &str, slug: &str) -> RowName {
    RowName::new(ADDRESSES, format!("{site}/{slug}"), Vec::new())
}

fn live(id: Uuid) -> RowName {
    RowName::new(LIVE, id.to_string(), Vec::new())
}

fn tenant() -> RowName {
    RowName::new(TENANT, TENANT, Vec::new())
}

fn decode<T: DeserializeOwned>(body: Option<bytes::Bytes>) -> Result<Option<T>, ProjectionError> {
    body.map(|body| codec::decode(&body)).transpose().map_err(|error| ProjectionError::Row(error.to_string()))
}

fn encode<T: Serialize>(row: &T) -> Result<Vec<u8>, ProjectionError> {
    codec::encode(row).map_err(|error| ProjectionError::Row(error.to_string()))
}

impl Projection for Routes {
    fn name(&self) -> &'static str {
        ROUTES
    }

    fn version(&self) -> u32 {
        1
    }

    fn follows(&self, address: &Address) -> bool {
        let is = |context, aggregate| address.context == context && address.aggregate == aggregate;
        is(PageEvent::CONTEXT, PageEvent::AGGREGATE) || is(TenantEvent::CONTEXT, TenantEvent::AGGREGATE)
    }

    fn reads(&self, event: &Recorded<AnyEvent>) -> Vec<RowName> {
        match (&event.event, event.subject.address.uuid()) {
            (AnyEvent::Page(_), Some(id)) => vec![live(id)],
            (AnyEvent::Tenant(_), _) => vec![tenant()],
            _ => Vec::new(),
        }
    }

    fn apply(&self, event: &Recorded<AnyEvent>, rows: &mut Rows<'_>) -> Result<(), ProjectionError> {
        let at = event.envelope.at;
        match (&event.event, event.subject.address.uuid()) {
            (AnyEvent::Tenant(changed), _) => {
                if let Some(owner) = fold_owner(decode(rows.get(&tenant()))?, changed, at) {
                    rows.put(tenant(), encode(&owner)?);
                }
                Ok(())
            }
            (AnyEvent::Page(changed), Some(id)) => page_event(id, changed, event.seq, at, rows),
            _ => Err(ProjectionError::Event(format!("{} is not an event of {ROUTES}", event.envelope.kind))),
        }
    }
}

fn page_event(id: Uuid, event: &PageEvent, seq: u64, at: Micros, rows: &mut Rows<'_>) -> Result<(), ProjectionError> {
    let before: Option<LivePage> = decode(rows.get(&live(id)))?;
    // A row from beyond this event: another lane was here already.
    if before.as_ref().is_some_and(|page| page.seq >= seq) {
        return Ok(());
    }
    let own = |slug: &str, site: &str, rows: &mut Rows<'_>| rows.put(address(site, slug), id.as_bytes().to_vec());
    match event {
        PageEvent::Created(created) => own(&created.slug, &created.site, rows),
        PageEvent::Reinstated(reinstated) => own(&reinstated.slug, &reinstated.site, rows),
        PageEvent::SlugRenamed(renamed) => {
            own(&renamed.to, &renamed.site, rows);
            if !renamed.redirect {
                rows.delete(address(&renamed.site, &renamed.from));
            }
        }
        PageEvent::RedirectDropped(dropped) => rows.delete(address(&dropped.site, &dropped.slug)),
        PageEvent::Removed(removed) => {
            for slug in removed.redirects.iter().chain([&removed.slug]) {
                rows.delete(address(&removed.site, slug));
            }
        }
        PageEvent::Edited(_) | PageEvent::Restored(_) | PageEvent::Published(_) | PageEvent::Unpublished(_) => {}
    }
    let (existed, unchanged) = (before.is_some(), before.clone());
    match fold_page(before, event, seq, at) {
        Some(page) if unchanged.as_ref() == Some(&page) => {}
        Some(page) => rows.put(live(id), encode(&page)?),
        None if existed => rows.delete(live(id)),
        None => {}
    }
    Ok(())
}

impl Views {
    /// What sites say about a tenant; `None`: there is no such tenant.
    pub async fn site_owner(&self, of: &TenantId) -> Result<Option<SiteOwner>, ViewError> {
        self.route_row(of, tenant()).await
    }

    /// A page as visitors see it; `None` when it never was or was removed.
    pub async fn live_page(&self, of: &TenantId, id: Uuid) -> Result<Option<LivePage>, ViewError> {
        self.route_row(of, live(id)).await
    }

    /// The tenant, and the page that has an address of a site, now or as a redirect.
    pub async fn route(
        &self,
        of: &TenantId,
        site: &str,
        slug: &str,
    ) -> Result<(Option<SiteOwner>, Option<(Uuid, LivePage)>), ViewError> {
        let keys = [self.route_key(of, tenant())?, self.route_key(of, address(site, slug))?];
        let mut found = self.store().get_many(&keys).await?.into_iter();
        let owner = found.next().flatten().map(|row| codec::decode(&row.body)).transpose().map_err(ViewError::Row)?;
        let id = found.next().flatten().and_then(|row| Uuid::from_slice(&row.body).ok());
        let page = match id {
            Some(id) => self.live_page(of, id).await?.map(|page| (id, page)),
            None => None,
        };
        Ok((owner, page))
    }

    fn route_key(&self, of: &TenantId, name: RowName) -> Result<RowKey, ViewError> {
        let table = self.serving(ROUTES)?.generation().table(name.table)?;
        Ok(RowKey { table, tenant: of.shared(), partition: name.partition, sort: name.sort })
    }

    async fn route_row<T: DeserializeOwned>(&self, of: &TenantId, name: RowName) -> Result<Option<T>, ViewError> {
        let row = self.store().get(&self.route_key(of, name)?).await?;
        row.map(|row| codec::decode(&row.body)).transpose().map_err(ViewError::Row)
    }
}

#[cfg(test)]
mod tests;
