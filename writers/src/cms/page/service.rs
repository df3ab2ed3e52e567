//! Making a page and bringing back what it said before.

use super::{Page, PageCommand, PageRejection};
use crate::writer::{Loaded, Meta, Receipt, WriteError, Writer};
use bus_schema::{
    AnyEvent, TenantId,
    cms::page::{PageContent, PageEvent},
};
use uuid::Uuid;

/// Makes a page under an id that follows from the command.
pub async fn create(
    writer: &Writer,
    tenant: &TenantId,
    meta: &Meta,
    site: &str,
    slug: &str,
    content: PageContent,
) -> Result<(Uuid, Receipt<Loaded<Page>>), WriteError> {
    let id = meta.command.aggregate(0);
    let command = PageCommand::Create { site: site.to_owned(), slug: slug.to_owned(), content };
    Ok((id, writer.execute::<Page>(tenant, id, meta, &command).await?))
}

/// What a revision of a page said, out of the page's own history. `None`: it has no such revision.
pub async fn content_of(
    writer: &Writer,
    tenant: &TenantId,
    id: Uuid,
    revision: u64,
) -> Result<Option<PageContent>, WriteError> {
    for stored in writer.store().load(&writer.subject::<Page>(tenant, id), 0).await? {
        let event = stored.decode().map_err(|source| WriteError::Decode {
            subject: stored.subject.to_string(),
            seq: stored.seq,
            source,
        })?;
        let (number, content) = match event {
            Some(AnyEvent::Page(PageEvent::Created(created))) => (1, created.content),
            Some(AnyEvent::Page(PageEvent::Edited(edited))) => (edited.revision, edited.content),
            Some(AnyEvent::Page(PageEvent::Restored(restored))) => (restored.revision, restored.content),
            _ => continue,
        };
        if number == revision {
            return Ok(Some(content));
        }
    }
    Ok(None)
}

/// Makes what an earlier revision said the draft.
pub async fn restore(
    writer: &Writer,
    tenant: &TenantId,
    id: Uuid,
    meta: &Meta,
    revision: u64,
) -> Result<Receipt<Loaded<Page>>, WriteError> {
    let Some(content) = content_of(writer, tenant, id, revision).await? else {
        writer.load::<Page>(tenant, id).await?.state.exists()?;
        return Err(PageRejection::UnknownRevision { revision }.into());
    };
    writer.execute::<Page>(tenant, id, meta, &PageCommand::Restore { revision, content }).await
}
