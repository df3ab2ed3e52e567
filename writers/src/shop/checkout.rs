//! What changes an order and the stock of its products together: committed in one batch or not at all.
//!
//! The order is opened first, to know a retried command before any product is asked, and decided last, so that the
//! receipt's position is its revision.

use super::{
    order::{Order, OrderCommand, OrderContact, Placed, check_quantities, valid_buyer},
    product::{Product, ProductCommand, ProductRejection},
};
use crate::writer::{Loaded, Meta, Receipt, Tx, WriteError, Writer};
use bus_schema::{
    Currency, Subject, TenantId,
    shop::order::{BuyerDetails, OrderLine, Pieces},
};
use uuid::Uuid;

/// What somebody wants to buy. Names and prices are the products', not the buyer's to say.
#[derive(Clone, Debug)]
pub struct PlaceOrder {
    pub contact: Option<OrderContact>,
    pub buyer: BuyerDetails,
    /// Each product once.
    pub lines: Vec<Pieces>,
    pub currency: Currency,
}

/// Places an order: reserves every line's pieces and records the order at the prices of this commit. The order's id
/// follows from the command.
pub async fn place(
    writer: &Writer,
    tenant: &TenantId,
    meta: &Meta,
    order: &PlaceOrder,
) -> Result<(Uuid, Receipt<Loaded<Order>>), WriteError> {
    check_quantities(order.lines.iter().map(|line| (line.product, line.quantity)))?;
    valid_buyer(&order.buyer)?;
    let id = meta.command.aggregate(0);
    // `If-Match` has no meaning for what is not there yet.
    let meta = &Meta { if_match: None, ..meta.clone() };
    let hot = order.lines.iter().map(|line| writer.subject::<Product>(tenant, line.product)).collect::<Vec<_>>();
    let receipt = writer
        .transact(tenant, meta, &hot, |tx| {
            Box::pin(async move {
                let mut lines = Vec::new();
                if tx.open::<Order>(id).await?.is_some_and(|present| present.state.placed().is_none()) {
                    for (line, wanted) in order.lines.iter().enumerate() {
                        lines.push(reserve(tx, id, line, *wanted).await?);
                    }
                }
                let PlaceOrder { contact, buyer, currency, .. } = order.clone();
                tx.decide::<Order>(id, &OrderCommand::Place { contact, buyer, lines, currency }).await
            })
        })
        .await?;
    Ok((id, with_revision(receipt)))
}

/// Reserves one line's pieces and gives the line as the product has it now.
async fn reserve(tx: &mut Tx<'_>, order: Uuid, line: usize, wanted: Pieces) -> Result<OrderLine, WriteError> {
    let Pieces { product, quantity } = wanted;
    let reserved = tx.decide::<Product>(product, &ProductCommand::Reserve { order, quantity, line }).await?;
    let listing = reserved.state.listing().ok_or(ProductRejection::NoSuchProduct { line })?;
    Ok(OrderLine {
        product,
        sku: listing.sku.clone(),
        name: listing.details.name.clone(),
        quantity,
        unit_price: listing.price,
        course: listing.details.course,
    })
}

/// Cancels an order that is not shipped; its pieces can be sold again. Captured money stays to be refunded.
pub async fn cancel(
    writer: &Writer,
    tenant: &TenantId,
    id: Uuid,
    meta: &Meta,
    reason: &str,
) -> Result<Receipt<Loaded<Order>>, WriteError> {
    let hot = subjects_of(writer, tenant, id).await?;
    let command = &OrderCommand::Cancel { reason: reason.to_owned() };
    let receipt = writer
        .transact(tenant, meta, &hot, |tx| {
            Box::pin(async move {
                for line in lines_if(tx, id, Placed::is_open).await? {
                    tx.decide::<Product>(line.product, &ProductCommand::Release { order: id }).await?;
                }
                tx.decide::<Order>(id, command).await
            })
        })
        .await?;
    Ok(with_revision(receipt))
}

/// Ships an order that is paid: its pieces leave the stock.
pub async fn ship(
    writer: &Writer,
    tenant: &TenantId,
    id: Uuid,
    meta: &Meta,
    carrier: &str,
    tracking: &str,
) -> Result<Receipt<Loaded<Order>>, WriteError> {
    let hot = subjects_of(writer, tenant, id).await?;
    let command = &OrderCommand::Ship { carrier: carrier.to_owned(), tracking: tracking.to_owned() };
    let receipt = writer
        .transact(tenant, meta, &hot, |tx| {
            Box::pin(async move {
                for line in lines_if(tx, id, |order| order.check_shippable().is_ok()).await? {
                    tx.decide::<Product>(line.product, &ProductCommand::Deduct { order: id }).await?;
                }
                tx.decide::<Order>(id, command).await
            })
        })
        .await?;
    Ok(with_revision(receipt))
}

/// Takes goods of a shipped order back into the stock, at most what was shipped. Money goes back by a refund.
pub async fn take_back(
    writer: &Writer,
    tenant: &TenantId,
    id: Uuid,
    meta: &Meta,
    pieces: &[Pieces],
    reason: &str,
) -> Result<Receipt<Loaded<Order>>, WriteError> {
    let hot = subjects_of(writer, tenant, id).await?;
    let command = &OrderCommand::Return { pieces: pieces.to_vec(), reason: reason.to_owned() };
    let receipt = writer
        .transact(tenant, meta, &hot, |tx| {
            Box::pin(async move {
                if !lines_if(tx, id, |order| order.check_returnable(pieces).is_ok()).await?.is_empty() {
                    for Pieces { product, quantity } in pieces.iter().copied() {
                        tx.decide::<Product>(product, &ProductCommand::Restock { order: id, quantity }).await?;
                    }
                }
                tx.decide::<Order>(id, command).await
            })
        })
        .await?;
    Ok(with_revision(receipt))
}

/// The order's lines if its products are to be asked: it was placed, is in the state for it, and did not carry this
/// command out before. Otherwise none: the order alone gives the answer.
async fn lines_if(tx: &mut Tx<'_>, id: Uuid, wanted: impl Fn(&Placed) -> bool) -> Result<Vec<OrderLine>, WriteError> {
    let opened = tx.open::<Order>(id).await?;
    let placed = opened.as_ref().and_then(|order| order.state.placed());
    Ok(placed.filter(|placed| wanted(placed)).map(|placed| placed.lines.clone()).unwrap_or_default())
}

/// The order and the products whose commands are to queue. Only a hint: an order's lines never change, and what is
/// decided is read again under the log's expectations.
async fn subjects_of(writer: &Writer, tenant: &TenantId, id: Uuid) -> Result<Vec<Subject>, WriteError> {
    let order = writer.load::<Order>(tenant, id).await?;
    let lines = order.state.placed().map(|placed| placed.lines.as_slice()).unwrap_or_default();
    let products = lines.iter().map(|line| writer.subject::<Product>(tenant, line.product));
    Ok(std::iter::once(writer.subject::<Order>(tenant, id)).chain(products).collect())
}

fn with_revision(mut receipt: Receipt<Loaded<Order>>) -> Receipt<Loaded<Order>> {
    receipt.value.revision = receipt.position;
    receipt
}

#[cfg(test)]
mod tests;
