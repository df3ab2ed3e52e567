//! What paid course lines became: who is enrolled, what has to be refunded, what is late. One record an order, under the
//! order's id.

use crate::{
    record_view::{Happening, Record, RecordView},
    search::{Doc, FieldValue},
};
use bus_schema::{
    Keyring, TenantId,
    shop::fulfilment::{FulfilmentBook, FulfilmentEvent},
};
use uuid::Uuid;

pub struct Fulfilments;

/// `open` until everything is done.
pub fn status_word(book: &FulfilmentBook) -> &'static str {
    if book.is_settled() { "settled" } else { "open" }
}

impl RecordView for Fulfilments {
    const NAME: &'static str = "fulfilments";
    const VERSION: u32 = 1;
    type Event = FulfilmentEvent;
    type Row = FulfilmentBook;

    fn fold(row: Option<FulfilmentBook>, event: &FulfilmentEvent, _: &Happening) -> Option<FulfilmentBook> {
        FulfilmentBook::after(row, event)
    }

    fn document(tenant: &TenantId, id: Uuid, record: &Record<FulfilmentBook>, _keys: &Keyring) -> Option<Doc> {
        let row = &record.row;
        let mut fields = vec![
            ("status".to_owned(), FieldValue::Str(status_word(row).to_owned())),
            ("overdue".to_owned(), FieldValue::Bool(row.overdue)),
            ("needs_refund".to_owned(), FieldValue::Bool(row.needs_refund())),
            ("deadline".to_owned(), FieldValue::Time(row.deadline.0)),
            ("created_at".to_owned(), FieldValue::Time(record.created_at.0)),
            ("updated_at".to_owned(), FieldValue::Time(record.updated_at.0)),
        ];
        fields.extend(row.contact.map(|contact| ("contact".to_owned(), FieldValue::Str(contact.to_string()))));
        let (tenant, collection) = (tenant.to_string(), Self::NAME.to_owned());
        Some(Doc { tenant, collection, id: id.to_string(), text: Vec::new(), fields })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::{at, given};
    use bus_schema::{
        Currency, Money,
        shop::fulfilment::{CourseLine, FulfilmentStarted, LineRefunded, LineRefused, RefusalReason},
    };

    const PRODUCT: Uuid = Uuid::from_u128(1);

    #[tokio::test]
    async fn a_refused_line_needs_a_refund_until_its_money_went_back() {
        let (course, unit_price) = (Uuid::from_u128(2), Money::new(100, Currency::EUR));
        let line = CourseLine { product: PRODUCT, course, quantity: 2, unit_price };
        let started = FulfilmentStarted { contact: Some(Uuid::from_u128(3)), lines: vec![line], deadline: at(900) };
        let refused = LineRefused { product: PRODUCT, reason: RefusalReason::CourseFull };
        let mut events: Vec<FulfilmentEvent> = vec![started.into(), refused.into()];
        let needs = |doc: &Doc, yes| doc.fields.contains(&("needs_refund".into(), FieldValue::Bool(yes)));
        let doc = given::<Fulfilments>(events.clone()).document(&Keyring::default()).await.unwrap();
        assert!(needs(&doc, true) && doc.fields.contains(&("status".into(), FieldValue::Str("settled".into()))));
        events.push(LineRefunded { product: PRODUCT, pieces: 2, deadline: at(901) }.into());
        let doc = given::<Fulfilments>(events).document(&Keyring::default()).await.unwrap();
        assert!(needs(&doc, false));
    }
}
