//! The list as other parts use it: by address, not by id.

use super::{Suppression, SuppressionCommand, SuppressionRejection};
use crate::{
    text,
    writer::{Loaded, Meta, Receipt, WriteError, Writer},
};
use bus_schema::{Micros, TenantId, mail::suppression::SuppressionReason};
use uuid::Uuid;

/// An address that is to get no mail.
#[derive(Clone, Copy, Debug)]
pub struct Suppress<'a> {
    pub email: &'a str,
    pub reason: SuppressionReason,
    /// What says so: `provider report`, `import`, `preference page`. No personal data.
    pub source: &'a str,
    /// `None`: for good.
    pub expires_at: Option<Micros>,
    /// Sealed with the address.
    pub note: Option<&'a str>,
}

/// Where an address stands on the list, whether it is there or not.
pub async fn address_id(writer: &Writer, tenant: &TenantId, email: &str) -> Result<Uuid, WriteError> {
    let normal = text::normal_email(email).ok_or(SuppressionRejection::InvalidEmail)?;
    Ok(writer.tenant_key(tenant).await?.derived_id(text::ADDRESS_ID, &normal))
}

/// Puts an address on the list. One durable write; one that is there for this reason for at least as long changes nothing.
pub async fn suppress(
    writer: &Writer,
    tenant: &TenantId,
    meta: &Meta,
    wanted: &Suppress<'_>,
) -> Result<(Uuid, Receipt<Loaded<Suppression>>), WriteError> {
    let id = address_id(writer, tenant, wanted.email).await?;
    let command = SuppressionCommand::Suppress {
        email: wanted.email.to_owned(),
        reason: wanted.reason,
        source: wanted.source.to_owned(),
        expires_at: wanted.expires_at,
        note: wanted.note.map(str::to_owned),
    };
    Ok((id, writer.execute::<Suppression>(tenant, id, meta, &command).await?))
}

/// Takes back one reason (a complaint that was none), or all of them.
pub async fn lift(
    writer: &Writer,
    tenant: &TenantId,
    meta: &Meta,
    id: Uuid,
    reason: Option<SuppressionReason>,
    source: &str,
) -> Result<Receipt<Loaded<Suppression>>, WriteError> {
    let lift = SuppressionCommand::Lift { reason, source: source.to_owned() };
    writer.execute::<Suppression>(tenant, id, meta, &lift).await
}

/// Why an address gets no mail at this moment, the gravest reason first; empty: it may get some. Asks the log itself, so for
/// mail to one person; mail to many asks the view `suppressions`.
pub async fn held(writer: &Writer, tenant: &TenantId, email: &str) -> Result<Vec<SuppressionReason>, WriteError> {
    let id = address_id(writer, tenant, email).await?;
    let found = writer.load::<Suppression>(tenant, id).await?;
    Ok(found.state.reasons(writer.clock().now()).collect())
}

/// Makes the address of an entry unreadable, for somebody who was erased; its reasons stay. A crash between the event and the
/// key leaves the key to the eraser, which follows the log. Nothing happens to an address that is not on the list.
pub async fn erase_address(writer: &Writer, tenant: &TenantId, meta: &Meta, id: Uuid) -> Result<(), WriteError> {
    let found = writer.load::<Suppression>(tenant, id).await?;
    let Some(key) = found.state.person().map(|person| person.key()) else { return Ok(()) };
    writer.execute::<Suppression>(tenant, id, meta, &SuppressionCommand::EraseAddress).await?;
    writer.keys().destroy(tenant, key).await?;
    Ok(())
}
