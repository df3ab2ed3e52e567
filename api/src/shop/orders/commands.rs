//! What can be asked of an order.

use crate::{
    app::App,
    command::{Command, CommandReceipt},
    http::{
        extract::Path,
        problem::{FieldError, Problem, ProblemDocument},
    },
    money::{AmountJson, MoneyJson, currency},
};
use axum::{extract::State, http::StatusCode, response::Response};
use bus_schema::{
    CommandId, TenantId,
    shop::order::{BuyerDetails, Pieces},
};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::{
    crm::contact::Contact,
    shop::{
        checkout::{self, PlaceOrder},
        order::{self, Order, OrderContact, Refund},
    },
};

const WRITE: &str = "shop.order:write";

/// The command endpoints.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(place))
        .routes(routes!(pay))
        .routes(routes!(refund))
        .routes(routes!(ship))
        .routes(routes!(cancel))
        .routes(routes!(take_back))
        .routes(routes!(erase_buyer))
}

/// A new order. Names and prices are the products' at this moment.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct NewOrder {
    /// The contact who buys. Erasing the contact then erases the buyer of this order.
    pub contact: Option<Uuid>,
    pub buyer: NewBuyer,
    /// ISO 4217; the currency of all its products.
    #[schema(example = "EUR")]
    pub currency: String,
    /// 1 to 100, each product once.
    pub lines: Vec<PiecesJson>,
}

/// Who buys. Never a card number, in no field.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct NewBuyer {
    pub name: String,
    pub email: String,
    pub phone: Option<String>,
    /// As printed on the parcel, one line each, at most 8. Also understood as `lines`.
    #[serde(default, alias = "lines")]
    pub address: Vec<String>,
    /// What the buyer wants to tell the shop.
    pub note: Option<String>,
}

/// Pieces of one product.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
pub struct PiecesJson {
    pub product: Uuid,
    pub quantity: u32,
}

fn pieces(lines: &[PiecesJson]) -> Vec<Pieces> {
    lines.iter().map(|line| Pieces { product: line.product, quantity: line.quantity }).collect()
}

/// Places an order and reserves its pieces, all or nothing.
#[utoipa::path(post, path = "/v1/orders", tag = "orders", request_body = NewOrder, responses(
    (status = 201, body = CommandReceipt),
    (status = 409, description = "out_of_stock, not_sellable, too_many_reservations", body = ProblemDocument),
    (status = 422, body = ProblemDocument)))]
async fn place(State(app): State<App>, command: Command<NewOrder>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let tenant = &command.caller.tenant;
    let new = command.body;
    let contact = match new.contact {
        Some(id) => Some(contact(&app, tenant, command.meta.command, id).await?),
        None => None,
    };
    let NewBuyer { name, email, phone, address, note } = new.buyer;
    let wanted = PlaceOrder {
        contact,
        buyer: BuyerDetails { name, email, address, phone, note },
        lines: pieces(&new.lines),
        currency: currency(&new.currency, "/currency")?,
    };
    let (id, receipt) = checkout::place(&app.writer, tenant, &command.meta, &wanted).await?;
    Ok(app.created("orders", id, &receipt))
}

/// The contact who orders, with its key. One that is gone is refused, unless the order was placed before it went: then
/// this request is a repetition and gets the answer of that time.
async fn contact(app: &App, tenant: &TenantId, command: CommandId, id: Uuid) -> Result<OrderContact, Problem> {
    let contact = app.writer.load::<Contact>(tenant, id).await?;
    if let Some(details) = contact.state.details() {
        return Ok(OrderContact { id, key: details.key() });
    }
    let order = app.writer.load::<Order>(tenant, command.aggregate(0)).await?;
    if let Some(placed) = order.state.placed().filter(|placed| placed.contact == Some(id)) {
        return Ok(OrderContact { id, key: placed.buyer.key() });
    }
    let (code, message) = if contact.state.is_erased() {
        ("contact_erased", "the contact was erased, so nothing can be kept under its key")
    } else {
        ("unknown_contact", "there is no such contact")
    };
    Err(Problem::validation(vec![FieldError::new("/contact", code, message)]))
}

/// Money that was captured.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct NewPayment {
    /// A number of minor units is understood too.
    #[schema(value_type = MoneyJson)]
    pub amount: AmountJson,
    /// Needed when `amount` is a number.
    pub currency: Option<String>,
    /// How: `card`, `invoice`, `bank-transfer`.
    pub method: String,
    /// The payment's id at whoever captured it. The same reference again changes nothing. Never a card number.
    pub reference: String,
}

/// Records a payment, at most what is due.
#[utoipa::path(post, path = "/v1/orders/{id}/payments", tag = "orders", request_body = NewPayment,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt),
    (status = 409, description = "overpaid, order_cancelled, reference_reused", body = ProblemDocument)))]
async fn pay(State(app): State<App>, Path(id): Path<Uuid>, command: Command<NewPayment>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let NewPayment { amount, currency, method, reference } = command.body;
    let amount = amount.money(currency.as_deref())?;
    let tenant = &command.caller.tenant;
    let receipt = order::pay(&app.writer, tenant, id, &command.meta, amount, method, reference).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

/// Money that went back.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct NewRefund {
    /// A number of minor units is understood too.
    #[schema(value_type = MoneyJson)]
    pub amount: AmountJson,
    /// Needed when `amount` is a number.
    pub currency: Option<String>,
    /// No personal data.
    #[serde(default)]
    pub reason: String,
    /// The refund's id. The same reference again changes nothing. Never a card number.
    pub reference: String,
    /// What it is the money of. A course line whose money went back whole ends the enrolment; so does giving back all
    /// money of the order.
    #[serde(default)]
    pub lines: Vec<PiecesJson>,
}

/// Records a refund, at most what was captured and not given back yet.
#[utoipa::path(post, path = "/v1/orders/{id}/refunds", tag = "orders", request_body = NewRefund,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt),
    (status = 409, description = "refund_exceeds_captured, refund_exceeds_bought, reference_reused", body = ProblemDocument),
    (status = 422, description = "not_in_order, invalid_lines", body = ProblemDocument)))]
async fn refund(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<NewRefund>,
) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let NewRefund { amount, currency, reason, reference, lines } = command.body;
    let amount = amount.money(currency.as_deref())?;
    let refund = Refund { amount, reason, reference, pieces: pieces(&lines) };
    let receipt = order::refund(&app.writer, &command.caller.tenant, id, &command.meta, refund).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

/// The parcel.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct NewShipment {
    pub carrier: String,
    pub tracking: String,
}

/// Ships an order that is paid: its pieces leave the stock.
#[utoipa::path(post, path = "/v1/orders/{id}/ship", tag = "orders", request_body = NewShipment,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt),
    (status = 409, description = "unpaid, already_shipped, order_cancelled, order_refunded", body = ProblemDocument)))]
async fn ship(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<NewShipment>,
) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let NewShipment { carrier, tracking } = &command.body;
    let tenant = &command.caller.tenant;
    let receipt = checkout::ship(&app.writer, tenant, id, &command.meta, carrier, tracking).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

/// Why an order is cancelled.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct NewCancellation {
    /// No personal data.
    pub reason: String,
}

/// Cancels an order that is not shipped; its pieces can be sold again. Captured money stays to be refunded.
#[utoipa::path(post, path = "/v1/orders/{id}/cancel", tag = "orders", request_body = NewCancellation,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt),
    (status = 409, description = "already_shipped", body = ProblemDocument)))]
async fn cancel(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<NewCancellation>,
) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let tenant = &command.caller.tenant;
    let receipt = checkout::cancel(&app.writer, tenant, id, &command.meta, &command.body.reason).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

/// Goods that came back.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct NewReturn {
    pub lines: Vec<PiecesJson>,
    /// No personal data.
    #[serde(default)]
    pub reason: String,
}

/// Takes goods of a shipped order back into the stock. Send `Idempotency-Key`: without one, sending it again takes more
/// back. Money goes back by a refund.
#[utoipa::path(post, path = "/v1/orders/{id}/returns", tag = "orders", request_body = NewReturn,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt),
    (status = 409, description = "not_shipped, return_exceeds_shipped", body = ProblemDocument)))]
async fn take_back(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<NewReturn>,
) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let NewReturn { lines, reason } = &command.body;
    let (tenant, lines) = (&command.caller.tenant, pieces(lines));
    let receipt = checkout::take_back(&app.writer, tenant, id, &command.meta, &lines, reason).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

/// Erases the buyer of an order without contact, everywhere and for good. A contact's orders follow the contact.
#[utoipa::path(delete, path = "/v1/orders/{id}/buyer", tag = "orders", params(("id" = Uuid, Path)), responses(
    (status = 200, body = CommandReceipt), (status = 409, description = "buyer_is_contact", body = ProblemDocument)))]
async fn erase_buyer(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    command.allow("shop.order:erase")?;
    let receipt = order::erase_buyer(&app.writer, &command.caller.tenant, id, &command.meta).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}
