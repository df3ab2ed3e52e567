//! Orders: what was bought, the money that came and went back, and where the goods are.
//!
//! All money of an order is decided in its one stream, so captures never exceed the total and refunds never exceed what
//! was captured, however many ask at once. A payment or refund is known by its reference; asking twice changes nothing.
//! Stock is the products' matter: `checkout` commits both together.

mod buyer;
mod details;
mod service;

use crate::{
    decider::{Ctx, Decider, Decision, KeyNeed},
    rejections,
    shop::text::BadText,
};
use bus_schema::{
    Currency, KeyId, Money, Sealed,
    shop::order::{
        BuyerDetails, BuyerErased, OrderCancelled, OrderEvent, OrderLine, OrderPaid, OrderPlaced, OrderProgress,
        OrderRefunded, OrderReturned, OrderShipped, OrderStatus, Pieces,
    },
};
pub use buyer::valid_buyer;
pub use details::{MAX_LINES, MAX_PAYMENTS, MAX_QUANTITY, check_quantities};
use serde::{Deserialize, Serialize};
pub use service::{Refund, erase_buyer, pay, refund};
use std::{collections::BTreeMap, sync::Arc};
use uuid::Uuid;

/// An order. Shared between copies of the state, because a copy is made for every command.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Order(Option<Arc<Placed>>);

/// An order that was placed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Placed {
    pub contact: Option<Uuid>,
    pub buyer: Sealed<BuyerDetails>,
    pub lines: Vec<OrderLine>,
    pub progress: OrderProgress,
    /// Amounts captured, by reference.
    payments: BTreeMap<String, i64>,
    /// Amounts given back, by reference.
    refunds: BTreeMap<String, i64>,
    /// Pieces whose money went back, by product, as far as refunds named them.
    #[serde(default)]
    refunded_pieces: BTreeMap<Uuid, u32>,
    /// Pieces that came back, by product.
    returned: BTreeMap<Uuid, u32>,
    buyer_erased: bool,
}

/// The contact who orders, and the key of that contact's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderContact {
    pub id: Uuid,
    pub key: KeyId,
}

/// What can be asked of an order. The functions of `checkout` place, cancel, ship and take back, because products are
/// changed in the same commit.
#[derive(Clone, Debug)]
pub enum OrderCommand {
    /// Names and prices in `lines` are the products' at this moment. Without contact the buyer gets a key of its own.
    Place {
        contact: Option<OrderContact>,
        buyer: BuyerDetails,
        lines: Vec<OrderLine>,
        currency: Currency,
    },
    Pay {
        amount: Money,
        method: String,
        reference: String,
    },
    Ship {
        carrier: String,
        tracking: String,
    },
    Cancel {
        reason: String,
    },
    Refund {
        amount: Money,
        reason: String,
        reference: String,
        /// What it is the money of, each product once; may be left out.
        pieces: Vec<Pieces>,
    },
    /// Shipped goods came back.
    Return {
        pieces: Vec<Pieces>,
        reason: String,
    },
    /// Use [`erase_buyer`], which destroys the key.
    EraseBuyer,
}

rejections! {
    /// Why a command to an order is refused.
    pub enum OrderRejection {
        Unknown: Missing, "order_not_found", "", "there is no such order";
        AlreadyPlaced: State, "order_exists", "", "the order was placed before";
        InvalidLines: Invalid, "invalid_lines", "/lines", "an order has 1 to {MAX_LINES} lines";
        LineQuantity { line: usize }: Invalid, "invalid_quantity", "/lines/{line}/quantity", "a quantity is 1 to {MAX_QUANTITY} pieces";
        ProductTwice { line: usize, first: usize }: Invalid, "product_twice", "/lines/{line}/product", "line {first} has this product already; add the quantities up in one line";
        LineCurrency { line: usize, currency: Currency, found: Currency }: Invalid, "currency_mismatch", "/lines/{line}/product", "the order is in {currency}, the product's price in {found}";
        LinePrice { line: usize }: Invalid, "invalid_price", "/lines/{line}/product", "a price is not negative";
        TotalTooLarge: Invalid, "total_too_large", "/lines", "the total does not fit into 64 bits of minor units";
        Required { field: &'static str }: Invalid, "required", "/{field}", "this must not be empty";
        TooLong { field: &'static str, max: usize }: Invalid, "too_long", "/{field}", "at most {max} characters are allowed";
        InvalidText { field: &'static str }: Invalid, "invalid_text", "/{field}", "control characters are not allowed";
        InvalidEmail: Invalid, "invalid_email", "/buyer/email", "an e-mail address has the form name@domain, at most 254 characters";
        TooManyAddressLines { max: usize }: Invalid, "too_many_lines", "/buyer/address", "an address has at most {max} lines";
        CardNumber { field: &'static str }: Invalid, "card_number_refused", "/{field}", "this looks like a payment card's number, which is never stored; send the payment's id";
        InvalidMethod: Invalid, "invalid_method", "/method", "a payment method has 1 to 40 characters of a-z, 0-9, '-' and '_'";
        InvalidReference: Invalid, "invalid_reference", "/reference", "a reference has 1 to 200 printable ASCII characters";
        ReferenceReused: State, "reference_reused", "/reference", "the reference stands for another amount already";
        InvalidAmount: Invalid, "invalid_amount", "/amount", "an amount is at least 1 minor unit";
        OtherCurrency { currency: Currency }: Invalid, "currency_mismatch", "/amount", "the order is in {currency}";
        Overpaid { due: i64 }: State, "overpaid", "/amount", "only {due} minor units are still to be paid";
        RefundExceedsCaptured { refundable: i64 }: State, "refund_exceeds_captured", "/amount", "only {refundable} minor units can still be given back";
        TooManyPayments: State, "too_many_payments", "", "an order has at most {MAX_PAYMENTS} payments and as many refunds";
        Unpaid { due: i64 }: State, "unpaid", "", "{due} minor units are still to be paid before the order is shipped";
        Shipped: State, "already_shipped", "", "the order was shipped";
        Cancelled: State, "order_cancelled", "", "the order was cancelled";
        RefundedInFull: State, "order_refunded", "", "the order's money went back, so it is not shipped; cancel it";
        NotShipped: State, "not_shipped", "", "only shipped goods come back; cancel the order instead";
        InvalidPieces: Invalid, "invalid_lines", "/lines", "1 to {MAX_LINES} products come back at a time, each named once";
        NotInOrder { index: usize }: Invalid, "not_in_order", "/lines/{index}/product", "the order does not have this product";
        ReturnExceedsShipped { index: usize, returnable: u32 }: State, "return_exceeds_shipped", "/lines/{index}/quantity", "1 to {returnable} pieces can still come back";
        RefundExceedsBought { index: usize, refundable: u32 }: State, "refund_exceeds_bought", "/lines/{index}/quantity", "1 to {refundable} pieces can still be given the money back for";
        ContactErased: State, "contact_erased", "/contact", "the contact was erased, so nothing can be kept under its key";
        BuyerIsContact: State, "buyer_is_contact", "", "the buyer is a contact; erase the contact";
    }
}

impl From<BadText> for OrderRejection {
    fn from(bad: BadText) -> Self {
        match bad {
            BadText::Missing { field } => Self::Required { field },
            BadText::TooLong { field, max } => Self::TooLong { field, max },
            BadText::Control { field } => Self::InvalidText { field },
        }
    }
}

impl Order {
    /// The order; `None` when none was ever placed here.
    pub fn placed(&self) -> Option<&Placed> {
        self.0.as_deref()
    }

    pub fn status(&self) -> Option<OrderStatus> {
        self.placed().map(|placed| placed.progress.status())
    }

    pub(super) fn known(&self) -> Result<&Placed, OrderRejection> {
        self.placed().ok_or(OrderRejection::Unknown)
    }
}

impl Placed {
    /// Whether the order can be shipped now.
    pub fn check_shippable(&self) -> Result<(), OrderRejection> {
        let progress = &self.progress;
        if progress.cancelled {
            Err(OrderRejection::Cancelled)
        } else if progress.shipped {
            Err(OrderRejection::Shipped)
        } else if progress.due() > 0 {
            Err(OrderRejection::Unpaid { due: progress.due() })
        } else if progress.status() == OrderStatus::Refunded {
            Err(OrderRejection::RefundedInFull)
        } else {
            Ok(())
        }
    }

    /// Whether the order still holds reservations that cancelling gives back.
    pub fn is_open(&self) -> bool {
        !self.progress.cancelled && !self.progress.shipped
    }

    pub fn is_buyer_erased(&self) -> bool {
        self.buyer_erased
    }

    /// Whether these pieces can come back now.
    pub fn check_returnable(&self, pieces: &[Pieces]) -> Result<(), OrderRejection> {
        if !self.progress.shipped {
            return Err(OrderRejection::NotShipped);
        }
        let named = |index: usize| pieces[..index].iter().any(|earlier| earlier.product == pieces[index].product);
        if pieces.is_empty() || pieces.len() > MAX_LINES || (0..pieces.len()).any(named) {
            return Err(OrderRejection::InvalidPieces);
        }
        for (index, piece) in pieces.iter().enumerate() {
            let line = self.lines.iter().find(|line| line.product == piece.product);
            let shipped = line.ok_or(OrderRejection::NotInOrder { index })?.quantity;
            let returned = self.returned.get(&piece.product).copied().unwrap_or(0);
            let returnable = shipped.saturating_sub(returned);
            if !(1..=returnable).contains(&piece.quantity) {
                return Err(OrderRejection::ReturnExceedsShipped { index, returnable });
            }
        }
        Ok(())
    }

    /// Pieces whose money went back, by product, as far as refunds named them.
    pub fn refunded_pieces(&self) -> &BTreeMap<Uuid, u32> {
        &self.refunded_pieces
    }

    /// Whether the money of these pieces can be given back now.
    fn check_refundable(&self, pieces: &[Pieces]) -> Result<(), OrderRejection> {
        let named = |index: usize| pieces[..index].iter().any(|earlier| earlier.product == pieces[index].product);
        if pieces.len() > MAX_LINES || (0..pieces.len()).any(named) {
            return Err(OrderRejection::InvalidPieces);
        }
        for (index, piece) in pieces.iter().enumerate() {
            let line = self.lines.iter().find(|line| line.product == piece.product);
            let bought = line.ok_or(OrderRejection::NotInOrder { index })?.quantity;
            let refunded = self.refunded_pieces.get(&piece.product).copied().unwrap_or(0);
            let refundable = bought.saturating_sub(refunded);
            if !(1..=refundable).contains(&piece.quantity) {
                return Err(OrderRejection::RefundExceedsBought { index, refundable });
            }
        }
        Ok(())
    }

    /// Whether a reference is known with this amount. A new one must be of the order's currency and more than nothing.
    fn settled(&self, known: &BTreeMap<String, i64>, reference: &str, amount: Money) -> Result<bool, OrderRejection> {
        let currency = self.progress.currency;
        if amount.currency != currency {
            return Err(OrderRejection::OtherCurrency { currency });
        }
        match known.get(reference) {
            Some(settled) if *settled == amount.amount => Ok(true),
            Some(_) => Err(OrderRejection::ReferenceReused),
            None if amount.amount <= 0 => Err(OrderRejection::InvalidAmount),
            None if known.len() >= MAX_PAYMENTS => Err(OrderRejection::TooManyPayments),
            None => Ok(false),
        }
    }
}

impl Decider for Order {
    type Event = OrderEvent;
    type Command = OrderCommand;
    type Rejection = OrderRejection;

    fn decide(&self, command: &OrderCommand, ctx: &Ctx) -> Result<Decision<OrderEvent>, OrderRejection> {
        use OrderRejection as R;
        match command {
            OrderCommand::Place { contact, buyer, lines, currency } => {
                if self.placed().is_some() {
                    return Err(R::AlreadyPlaced);
                }
                let progress = OrderProgress::new(details::total(lines, *currency)?);
                let buyer = valid_buyer(buyer)?;
                let key = match contact {
                    Some(contact) => contact.key,
                    None => ctx.fresh_key().map_err(|_| R::ContactErased)?,
                };
                let buyer = ctx.seal(key, &buyer).map_err(|_| R::ContactErased)?;
                let contact = contact.map(|contact| contact.id);
                Ok(Decision::event(OrderPlaced { contact, buyer, lines: lines.clone(), progress }))
            }
            OrderCommand::Pay { amount, method, reference } => {
                let order = self.known()?;
                let (method, reference) = (details::valid_method(method)?, details::valid_reference(reference)?);
                if order.settled(&order.payments, &reference, *amount)? {
                    return Ok(Decision::nothing());
                }
                let progress = order.progress;
                if progress.cancelled {
                    return Err(R::Cancelled);
                }
                if amount.amount > progress.due() {
                    return Err(R::Overpaid { due: progress.due() });
                }
                let progress = OrderProgress { captured: progress.captured + amount.amount, ..progress };
                Ok(Decision::event(OrderPaid { amount: *amount, method, reference, progress }))
            }
            OrderCommand::Ship { carrier, tracking } => {
                let order = self.known()?;
                order.check_shippable()?;
                let (carrier, tracking) = details::valid_parcel(carrier, tracking)?;
                let progress = OrderProgress { shipped: true, ..order.progress };
                Ok(Decision::event(OrderShipped { carrier, tracking, progress }))
            }
            OrderCommand::Cancel { reason } => {
                let progress = self.known()?.progress;
                let reason = details::valid_reason(reason)?;
                match (progress.cancelled, progress.shipped) {
                    (true, _) => Ok(Decision::nothing()),
                    (false, true) => Err(R::Shipped),
                    (false, false) => {
                        let progress = OrderProgress { cancelled: true, ..progress };
                        Ok(Decision::event(OrderCancelled { reason, progress }))
                    }
                }
            }
            OrderCommand::Refund { amount, reason, reference, pieces } => {
                let order = self.known()?;
                let (reason, reference) = (details::valid_reason(reason)?, details::valid_reference(reference)?);
                if order.settled(&order.refunds, &reference, *amount)? {
                    return Ok(Decision::nothing());
                }
                let progress = order.progress;
                if amount.amount > progress.refundable() {
                    return Err(R::RefundExceedsCaptured { refundable: progress.refundable() });
                }
                order.check_refundable(pieces)?;
                let progress = OrderProgress { refunded: progress.refunded + amount.amount, ..progress };
                let pieces = pieces.clone();
                Ok(Decision::event(OrderRefunded { amount: *amount, reason, reference, pieces, progress }))
            }
            OrderCommand::Return { pieces, reason } => {
                let order = self.known()?;
                order.check_returnable(pieces)?;
                let (reason, progress) = (details::valid_reason(reason)?, order.progress);
                Ok(Decision::event(OrderReturned { pieces: pieces.clone(), reason, progress }))
            }
            OrderCommand::EraseBuyer => {
                let order = self.known()?;
                match (order.contact, order.buyer_erased) {
                    (Some(_), _) => Err(R::BuyerIsContact),
                    (None, true) => Ok(Decision::nothing()),
                    (None, false) => {
                        Ok(Decision::event(BuyerErased { key: order.buyer.key(), progress: order.progress }))
                    }
                }
            }
        }
    }

    fn evolve(&mut self, event: &OrderEvent) {
        if let OrderEvent::Placed(placed) = event {
            let OrderPlaced { contact, buyer, lines, progress } = placed.clone();
            let (payments, refunds, refunded_pieces, returned) = Default::default();
            self.0 = Some(Arc::new(Placed {
                contact,
                buyer,
                lines,
                progress,
                payments,
                refunds,
                refunded_pieces,
                returned,
                buyer_erased: false,
            }));
            return;
        }
        // Nothing else can be recorded of an order that was not placed.
        let Some(order) = &mut self.0 else { return };
        let order = Arc::make_mut(order);
        order.progress = match event {
            OrderEvent::Placed(placed) => placed.progress,
            OrderEvent::Paid(paid) => {
                order.payments.insert(paid.reference.clone(), paid.amount.amount);
                paid.progress
            }
            OrderEvent::Refunded(refunded) => {
                order.refunds.insert(refunded.reference.clone(), refunded.amount.amount);
                for piece in &refunded.pieces {
                    let sum = order.refunded_pieces.entry(piece.product).or_default();
                    *sum = sum.saturating_add(piece.quantity);
                }
                refunded.progress
            }
            OrderEvent::Returned(returned) => {
                for piece in &returned.pieces {
                    let sum = order.returned.entry(piece.product).or_default();
                    *sum = sum.saturating_add(piece.quantity);
                }
                returned.progress
            }
            OrderEvent::BuyerErased(erased) => {
                order.buyer_erased = true;
                erased.progress
            }
            OrderEvent::Shipped(shipped) => shipped.progress,
            OrderEvent::Cancelled(cancelled) => cancelled.progress,
        };
    }

    fn keys(&self, command: &OrderCommand) -> KeyNeed {
        match command {
            OrderCommand::Place { contact: Some(contact), .. } => KeyNeed::Existing(vec![contact.key]),
            OrderCommand::Place { contact: None, .. } => KeyNeed::Fresh,
            _ => KeyNeed::None,
        }
    }

    fn creates(command: &OrderCommand) -> bool {
        matches!(command, OrderCommand::Place { .. })
    }

    fn claim_taken(_what: &'static str, _owner: &str) -> OrderRejection {
        OrderRejection::AlreadyPlaced
    }
}

#[cfg(test)]
mod tests;
