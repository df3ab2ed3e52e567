//! Products as people look at them: what they are, what they cost, how many are left.

use crate::{
    record_view::{Happening, Record, RecordView},
    search::{Doc, FieldValue, TextPart, Weight},
};
use bus_schema::{
    Keyring, Money, TenantId,
    shop::product::{ProductCreated, ProductDetails, ProductEvent, ProductStatus, StockLevel},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub struct Products;

/// A product. Who holds its reservations is the orders' matter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProductRow {
    pub sku: String,
    pub details: ProductDetails,
    pub price: Money,
    pub status: ProductStatus,
    pub stock: StockLevel,
}

/// A status as lists and records show it.
pub fn status_name(status: ProductStatus) -> &'static str {
    match status {
        ProductStatus::Draft => "draft",
        ProductStatus::Published => "published",
        ProductStatus::Retired => "retired",
    }
}

impl RecordView for Products {
    const NAME: &'static str = "products";
    const VERSION: u32 = 1;
    type Event = ProductEvent;
    type Row = ProductRow;

    fn fold(row: Option<ProductRow>, event: &ProductEvent, _: &Happening) -> Option<ProductRow> {
        if let ProductEvent::Created(created) = event {
            let ProductCreated { sku, details, price, stock } = created.clone();
            return Some(ProductRow { sku, details, price, status: ProductStatus::Draft, stock });
        }
        // Nothing else can be recorded of a product that was not created.
        let mut row = row?;
        match event {
            ProductEvent::Created(_) => {}
            ProductEvent::Described(described) => row.details = described.details.clone(),
            ProductEvent::Repriced(repriced) => row.price = repriced.price,
            ProductEvent::Published(_) => row.status = ProductStatus::Published,
            ProductEvent::Retired(_) => row.status = ProductStatus::Retired,
            ProductEvent::StockReceived(event) => row.stock = event.stock,
            ProductEvent::StockAdjusted(event) => row.stock = event.stock,
            ProductEvent::StockReserved(event) => row.stock = event.stock,
            ProductEvent::StockReleased(event) => row.stock = event.stock,
            ProductEvent::StockShipped(event) => row.stock = event.stock,
            ProductEvent::StockReturned(event) => row.stock = event.stock,
        }
        Some(row)
    }

    fn document(tenant: &TenantId, id: Uuid, record: &Record<ProductRow>, _: &Keyring) -> Option<Doc> {
        let ProductRow { sku, details, price, status, stock } = &record.row;
        let heading = format!("{} {sku}", details.name);
        let body = format!("{} {}", details.tags.join(" "), details.description);
        let text = |value: &str| FieldValue::Str(value.to_owned());
        let mut fields: Vec<(String, FieldValue)> = [
            ("sku", text(sku)),
            ("name", text(&details.name)),
            ("price.amount", FieldValue::I64(price.amount)),
            ("price.currency", text(price.currency.as_str())),
            ("on_hand", FieldValue::I64(stock.on_hand.into())),
            ("reserved", FieldValue::I64(stock.reserved.into())),
            ("available", FieldValue::I64(stock.available().into())),
            ("status", text(status_name(*status))),
            ("tags", FieldValue::Strs(details.tags.clone())),
            ("created_at", FieldValue::Time(record.created_at.0)),
            ("updated_at", FieldValue::Time(record.updated_at.0)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        fields.extend(details.course.map(|course| ("course".to_owned(), text(&course.to_string()))));
        Some(Doc {
            tenant: tenant.to_string(),
            collection: Self::NAME.to_owned(),
            id: id.to_string(),
            text: vec![
                TextPart { weight: Weight::Heading, text: heading },
                TextPart { weight: Weight::Body, text: body },
            ],
            fields,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::{NOW, given};
    use bus_schema::{
        Currency,
        shop::product::{
            ProductDescribed, ProductPublished, ProductRepriced, ProductRetired, StockAdjusted, StockReceived,
            StockReleased, StockReserved, StockReturned, StockShipped,
        },
    };

    const ORDER: Uuid = Uuid::from_u128(0x0d);

    fn level(on_hand: u32, reserved: u32) -> StockLevel {
        StockLevel { on_hand, reserved }
    }

    fn euros(amount: i64) -> Money {
        Money::new(amount, Currency::EUR)
    }

    fn details(name: &str) -> ProductDetails {
        let tags = vec!["ink".into(), "new".into()];
        ProductDetails { name: name.into(), description: "Black as night".into(), tags, course: None }
    }

    fn created() -> ProductEvent {
        ProductCreated { sku: "Ink-1".into(), details: details("Ink"), price: euros(500), stock: level(3, 0) }.into()
    }

    fn row() -> ProductRow {
        ProductRow {
            sku: "Ink-1".into(),
            details: details("Ink"),
            price: euros(500),
            status: ProductStatus::Draft,
            stock: level(3, 0),
        }
    }

    #[tokio::test]
    async fn a_product_is_shown_as_its_last_events_left_it() {
        given::<Products>([created()]).then_row(row()).await;
        let course = Some(Uuid::from_u128(0xc0));
        let renamed = ProductDetails { course, ..details("Black ink") };
        given::<Products>([
            created(),
            ProductDescribed { details: renamed.clone() }.into(),
            ProductRepriced { before: euros(500), price: euros(450) }.into(),
            ProductPublished {}.into(),
        ])
        .then_row(ProductRow { details: renamed, price: euros(450), status: ProductStatus::Published, ..row() })
        .await;
        given::<Products>([created(), ProductPublished {}.into(), ProductRetired {}.into()])
            .then_row(ProductRow { status: ProductStatus::Retired, ..row() })
            .await;
    }

    #[tokio::test]
    async fn the_stock_is_the_level_each_event_carries() {
        let (order, reason) = (ORDER, String::new());
        let events: [(ProductEvent, StockLevel); 6] = [
            (StockReceived { quantity: 2, reason: reason.clone(), stock: level(5, 0) }.into(), level(5, 0)),
            (StockReserved { order, quantity: 4, stock: level(5, 4) }.into(), level(5, 4)),
            (StockReleased { order, quantity: 4, stock: level(5, 0) }.into(), level(5, 0)),
            (StockAdjusted { before: 5, reason, stock: level(4, 0) }.into(), level(4, 0)),
            (StockShipped { order, quantity: 1, stock: level(3, 0) }.into(), level(3, 0)),
            (StockReturned { order, quantity: 1, stock: level(4, 0) }.into(), level(4, 0)),
        ];
        for upto in 0..events.len() {
            let past = std::iter::once(created()).chain(events[..=upto].iter().map(|(event, _)| event.clone()));
            given::<Products>(past).then_row(ProductRow { stock: events[upto].1, ..row() }).await;
        }
    }

    #[tokio::test]
    async fn what_was_never_created_is_not_shown() {
        given::<Products>([ProductPublished {}.into()]).then_no_row().await;
    }

    #[tokio::test]
    async fn search_knows_the_stock_and_the_words() {
        let reserved = StockReserved { order: ORDER, quantity: 1, stock: level(3, 1) }.into();
        let given = given::<Products>([created(), reserved]);
        let doc = given.document(&Keyring::default()).await.expect("a product can always be found");
        let field = |name: &str| doc.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone());
        assert_eq!(field("available"), Some(FieldValue::I64(2)));
        assert_eq!(field("price.amount"), Some(FieldValue::I64(500)));
        assert_eq!(field("status"), Some(FieldValue::Str("draft".into())));
        assert_eq!(field("created_at"), Some(FieldValue::Time(NOW.0)));
        assert_eq!(field("course"), None);
        assert_eq!(doc.text[0].text, "Ink Ink-1");
        assert!(doc.text[1].text.contains("night"));
    }
}
