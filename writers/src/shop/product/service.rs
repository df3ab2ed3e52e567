//! Commands to a product that need more than its id and the command.

use super::{Product, ProductCommand, ProductRejection, normal_sku};
use crate::writer::{Loaded, Meta, Receipt, WriteError, Writer};
use bus_schema::{Money, TenantId, shop::product::ProductDetails};
use uuid::Uuid;

/// The name under which ids follow from SKUs.
const SKU: &str = "product.sku";

/// The id of the product that has, or would have, this SKU.
pub async fn id_of(writer: &Writer, tenant: &TenantId, sku: &str) -> Result<Uuid, WriteError> {
    let sku = normal_sku(sku)?;
    Ok(writer.tenant_key(tenant).await?.derived_id(SKU, &sku))
}

/// Sets up a product, a draft until it is published. One durable write, which is also the claim on its SKU.
pub async fn create(
    writer: &Writer,
    tenant: &TenantId,
    meta: &Meta,
    sku: String,
    details: ProductDetails,
    price: Money,
    on_hand: u32,
) -> Result<(Uuid, Receipt<Loaded<Product>>), WriteError> {
    let id = id_of(writer, tenant, &sku).await?;
    let command = ProductCommand::Create { sku, details, price, on_hand };
    Ok((id, writer.execute::<Product>(tenant, id, meta, &command).await?))
}

/// Changes a product's details; `edit` sees the present ones.
pub async fn change(
    writer: &Writer,
    tenant: &TenantId,
    id: Uuid,
    meta: &Meta,
    edit: impl Fn(ProductDetails) -> ProductDetails + Send + Sync,
) -> Result<Receipt<Loaded<Product>>, WriteError> {
    let subjects = [writer.subject::<Product>(tenant, id)];
    let edit = &edit;
    let mut receipt = writer
        .transact(tenant, meta, &subjects, |tx| {
            Box::pin(async move {
                let present = tx.load::<Product>(id).await?;
                let listing = present.state.listing().ok_or(ProductRejection::Unknown)?;
                let details = edit(listing.details.clone());
                tx.decide::<Product>(id, &ProductCommand::Change { details }).await
            })
        })
        .await?;
    receipt.value.revision = receipt.position;
    Ok(receipt)
}
