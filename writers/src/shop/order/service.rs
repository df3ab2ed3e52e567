//! Commands that touch an order alone: each is one durable write.

use super::{Order, OrderCommand};
use crate::writer::{Loaded, Meta, Receipt, WriteError, Writer};
use bus_schema::{Money, TenantId, shop::order::Pieces};
use uuid::Uuid;

/// Records captured money. The reference (the payment's id) makes it once only.
pub async fn pay(
    writer: &Writer,
    tenant: &TenantId,
    id: Uuid,
    meta: &Meta,
    amount: Money,
    method: String,
    reference: String,
) -> Result<Receipt<Loaded<Order>>, WriteError> {
    writer.execute::<Order>(tenant, id, meta, &OrderCommand::Pay { amount, method, reference }).await
}

/// Money to be given back.
#[derive(Clone, Debug)]
pub struct Refund {
    pub amount: Money,
    pub reason: String,
    /// Makes it once only.
    pub reference: String,
    /// What it is the money of; may be left out.
    pub pieces: Vec<Pieces>,
}

/// Records money given back, never more than was captured.
pub async fn refund(
    writer: &Writer,
    tenant: &TenantId,
    id: Uuid,
    meta: &Meta,
    refund: Refund,
) -> Result<Receipt<Loaded<Order>>, WriteError> {
    let Refund { amount, reason, reference, pieces } = refund;
    writer.execute::<Order>(tenant, id, meta, &OrderCommand::Refund { amount, reason, reference, pieces }).await
}

/// Erases the buyer of an order without contact: the event first, then the order's key is destroyed. A crash between
/// the two leaves the key to the eraser in `workers`, which follows the log; doing it again changes nothing.
pub async fn erase_buyer(
    writer: &Writer,
    tenant: &TenantId,
    id: Uuid,
    meta: &Meta,
) -> Result<Receipt<Loaded<Order>>, WriteError> {
    let receipt = writer.execute::<Order>(tenant, id, meta, &OrderCommand::EraseBuyer).await?;
    let order = receipt.value.state.known()?;
    writer.keys().destroy(tenant, order.buyer.key()).await?;
    Ok(receipt)
}
