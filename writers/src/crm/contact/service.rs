//! The commands that touch an address's home beside the contact itself.

use super::{Contact, ContactCommand, ContactRejection, EMAIL, normal_email};
use crate::{
    Rejection,
    writer::{Loaded, Meta, Receipt, WriteError, Writer},
};
use bus_schema::{TenantId, crm::contact::ContactDetails};
use uuid::Uuid;

/// Where the holder of an e-mail address is found.
pub async fn home(writer: &Writer, tenant: &TenantId, email: &str) -> Result<Uuid, WriteError> {
    let email = normal_email(email)?;
    Ok(writer.tenant_key(tenant).await?.derived_id(EMAIL, &email))
}

/// Makes a contact. One durable write, unless the address's home is occupied by somebody who has left it.
pub async fn create(
    writer: &Writer,
    tenant: &TenantId,
    meta: &Meta,
    command: &ContactCommand,
    email: &str,
) -> Result<(Uuid, Receipt<Loaded<Contact>>), WriteError> {
    let home = home(writer, tenant, email).await?;
    let occupied = ContactRejection::HomeOccupied.code();
    match writer.execute::<Contact>(tenant, home, meta, command).await {
        // Carried out before, and what it recorded here was that the newcomer lives elsewhere.
        Ok(receipt) if receipt.value.state.guest() == Some(meta.command.aggregate(0)) => {
            create_elsewhere(writer, tenant, meta, command, home).await
        }
        Ok(receipt) => Ok((home, receipt)),
        Err(WriteError::Rejected(rejected)) if rejected.code == occupied => {
            create_elsewhere(writer, tenant, meta, command, home).await
        }
        Err(error) => Err(error),
    }
}

/// Makes a contact under an id of its own and records it at the home of its address.
async fn create_elsewhere(
    writer: &Writer,
    tenant: &TenantId,
    meta: &Meta,
    command: &ContactCommand,
    home: Uuid,
) -> Result<(Uuid, Receipt<Loaded<Contact>>), WriteError> {
    let id = meta.command.aggregate(0);
    let subjects = [writer.subject::<Contact>(tenant, home), writer.subject::<Contact>(tenant, id)];
    let mut receipt = writer
        .transact(tenant, meta, &subjects, |tx| {
            Box::pin(async move {
                tx.decide::<Contact>(home, &ContactCommand::TakeAddress { by: id }).await?;
                tx.decide::<Contact>(id, command).await
            })
        })
        .await?;
    receipt.value.revision = receipt.position;
    Ok((id, receipt))
}

/// Changes a contact's details; `edit` sees the present ones. With another e-mail address both homes are kept.
pub async fn change(
    writer: &Writer,
    tenant: &TenantId,
    id: Uuid,
    meta: &Meta,
    import: Option<Uuid>,
    edit: impl Fn(ContactDetails) -> ContactDetails + Send + Sync,
) -> Result<Receipt<Loaded<Contact>>, WriteError> {
    let subjects = [writer.subject::<Contact>(tenant, id)];
    let edit = &edit;
    let mut receipt = writer
        .transact(tenant, meta, &subjects, |tx| {
            Box::pin(async move {
                let Some(before) = tx.open::<Contact>(id).await? else {
                    // Carried out before: the answer of that time, even if the contact was erased since.
                    let details = ContactDetails::default();
                    return tx.decide::<Contact>(id, &ContactCommand::Change { details, import }).await;
                };
                let person = before.state.person()?;
                let keys = writer.keys().load(tenant, &[person.details.key()]).await?;
                let details = match person.details.open(&keys) {
                    Ok(revealed) => revealed.known().ok_or(ContactRejection::Erased)?,
                    Err(_) => return Err(ContactRejection::Sealing.into()),
                };
                let details = edit(details);
                let new_home = tx.tenant_key().derived_id(EMAIL, &normal_email(&details.email)?);
                let old_home = person.home;
                // The contact is decided last, so that the receipt's position is its revision.
                if new_home != old_home {
                    if new_home != id {
                        tx.decide::<Contact>(new_home, &ContactCommand::TakeAddress { by: id }).await?;
                    }
                    if old_home != id {
                        tx.decide::<Contact>(old_home, &ContactCommand::ReleaseAddress { by: id }).await?;
                    }
                }
                tx.decide::<Contact>(id, &ContactCommand::Change { details, import }).await
            })
        })
        .await?;
    receipt.value.revision = receipt.position;
    Ok(receipt)
}

/// Erases a contact: the event first, then its key is destroyed and its address freed. A crash between the two leaves
/// the key to the eraser in `workers`, which follows the log; doing it again changes nothing.
pub async fn erase(
    writer: &Writer,
    tenant: &TenantId,
    id: Uuid,
    meta: &Meta,
) -> Result<Receipt<Loaded<Contact>>, WriteError> {
    let subjects = [writer.subject::<Contact>(tenant, id)];
    let mut receipt = writer
        .transact(tenant, meta, &subjects, |tx| {
            Box::pin(async move {
                let before = tx.load::<Contact>(id).await?.state;
                // One erased before still names its key: a process may have ended before it was destroyed.
                let key = before.key().or(before.erased);
                let home = before.person.map(|person| person.home).filter(|home| *home != id);
                if let (Some(home), Some(_)) = (home, tx.open::<Contact>(id).await?) {
                    tx.decide::<Contact>(home, &ContactCommand::ReleaseAddress { by: id }).await?;
                }
                Ok((tx.decide::<Contact>(id, &ContactCommand::Erase).await?, key))
            })
        })
        .await?;
    if let Some(key) = receipt.value.1 {
        writer.keys().destroy(tenant, key).await?;
    }
    receipt.value.0.revision = receipt.position;
    Ok(Receipt { value: receipt.value.0, position: receipt.position, replayed: receipt.replayed })
}
