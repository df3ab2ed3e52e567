//! `/v1/products`

use crate::{
    app::App,
    command::{Command, CommandReceipt},
    http::{
        extract::Path,
        list::ListSpec,
        patch::Patch,
        problem::{FieldError, Problem, ProblemDocument},
    },
    money::MoneyJson,
    resource::Resource,
};
use axum::{extract::State, http::StatusCode, response::Response};
use bus_schema::{Keyring, TenantId, shop::product::ProductDetails};
use projectors::{
    Record,
    search::literal::FieldType,
    shop::products::{ProductRow, Products, status_name},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::{
    learning::course::Course,
    shop::product::{self, Product, ProductCommand},
};

const WRITE: &str = "shop.product:write";
const STATUSES: &[&str] = &["draft", "published", "retired"];

pub struct ProductResource;

/// A product.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Product)]
pub struct ProductJson {
    pub id: Uuid,
    pub revision: u64,
    pub sku: String,
    pub name: String,
    pub description: String,
    pub price: MoneyJson,
    /// `draft`, `published` or `retired`; only what is published can be ordered.
    pub status: &'static str,
    /// Pieces in the store.
    pub on_hand: u32,
    /// Pieces of them that are promised to open orders.
    pub reserved: u32,
    /// Pieces that can still be sold.
    pub available: u32,
    pub tags: Vec<String>,
    /// The course its buyer is enrolled in.
    pub course: Option<Uuid>,
    pub created_at: String,
    pub updated_at: String,
}

impl Resource for ProductResource {
    type View = Products;
    type Json = ProductJson;
    const NOUN: &'static str = "product";
    const LIST: ListSpec = ListSpec {
        filterable: &[
            ("sku", FieldType::Keyword),
            ("name", FieldType::Text),
            ("price.amount", FieldType::Integer),
            ("price.currency", FieldType::Keyword),
            ("on_hand", FieldType::Integer),
            ("reserved", FieldType::Integer),
            ("available", FieldType::Integer),
            ("status", FieldType::Choice(STATUSES)),
            ("tags", FieldType::Keyword),
            ("course", FieldType::Id),
            ("created_at", FieldType::Time),
            ("updated_at", FieldType::Time),
        ],
        sortable: &[
            "sku",
            "name",
            "price.amount",
            "on_hand",
            "reserved",
            "available",
            "status",
            "created_at",
            "updated_at",
        ],
        default_sort: "-created_at",
        facetable: &["tags", "status"],
        searchable: true,
        ..ListSpec::NOTHING
    };

    fn present(id: Uuid, record: &Record<ProductRow>, _: &Keyring) -> ProductJson {
        let ProductRow { sku, details, price, status, stock } = record.row.clone();
        ProductJson {
            id,
            revision: record.revision,
            sku,
            name: details.name,
            description: details.description,
            price: price.into(),
            status: status_name(status),
            on_hand: stock.on_hand,
            reserved: stock.reserved,
            available: stock.available(),
            tags: details.tags,
            course: details.course,
            created_at: record.created_at.to_string(),
            updated_at: record.updated_at.to_string(),
        }
    }
}

/// The command endpoints.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(change))
        .routes(routes!(reprice))
        .routes(routes!(publish))
        .routes(routes!(retire))
        .routes(routes!(receive))
        .routes(routes!(adjust))
}

/// A new product.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct NewProduct {
    /// Belongs to one product of a tenant, whatever its status, and never changes.
    #[schema(example = "INK-1")]
    pub sku: String,
    pub name: String,
    #[serde(default)]
    pub description: String,
    pub price: MoneyJson,
    /// Pieces in the store.
    #[serde(default)]
    pub on_hand: u32,
    #[serde(default)]
    pub tags: Vec<String>,
    /// The course its buyer is enrolled in.
    pub course: Option<Uuid>,
}

/// Makes a product. It is a draft until it is published.
#[utoipa::path(post, path = "/v1/products", tag = "products", request_body = NewProduct, responses(
    (status = 201, body = CommandReceipt), (status = 409, description = "sku_taken", body = ProblemDocument),
    (status = 422, body = ProblemDocument)))]
async fn create(State(app): State<App>, command: Command<NewProduct>) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let NewProduct { sku, name, description, price, on_hand, tags, course } = command.body;
    let (tenant, price) = (&command.caller.tenant, price.money("/price")?);
    check_course(&app, tenant, course).await?;
    let details = ProductDetails { name, description, tags, course };
    let (id, receipt) = product::create(&app.writer, tenant, &command.meta, sku, details, price, on_hand).await?;
    Ok(app.created("products", id, &receipt))
}

/// Whoever buys the product is enrolled in the course, so there must be one.
async fn check_course(app: &App, tenant: &TenantId, course: Option<Uuid>) -> Result<(), Problem> {
    let Some(course) = course else { return Ok(()) };
    if app.writer.load::<Course>(tenant, course).await?.revision > 0 {
        return Ok(());
    }
    Err(Problem::validation(vec![FieldError::new("/course", "unknown_course", "there is no such course")]))
}

/// Changes of a product: a field that is absent stays, null empties it (JSON Merge Patch, RFC 7396).
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct ProductChanges {
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Patch::is_absent")]
    pub description: Patch<String>,
    #[serde(skip_serializing_if = "Patch::is_absent")]
    pub tags: Patch<Vec<String>>,
    #[serde(skip_serializing_if = "Patch::is_absent")]
    pub course: Patch<Uuid>,
}

/// Changes what a product is. Send `If-Match` to keep others' changes from being lost; sales change the revision too.
#[utoipa::path(patch, path = "/v1/products/{id}", tag = "products", request_body = ProductChanges,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt), (status = 412, body = ProblemDocument)))]
async fn change(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<ProductChanges>,
) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let (tenant, changes) = (&command.caller.tenant, &command.body);
    let course = changes.course.into_change();
    check_course(&app, tenant, course.flatten()).await?;
    let edit = |present: ProductDetails| ProductDetails {
        name: changes.name.clone().unwrap_or(present.name),
        description: emptied(&changes.description, present.description),
        tags: emptied(&changes.tags, present.tags),
        course: course.unwrap_or(present.course),
    };
    let receipt = product::change(&app.writer, tenant, id, &command.meta, edit).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

/// A field that cannot be absent: null makes it empty.
fn emptied<T: Clone + Default>(patch: &Patch<T>, present: T) -> T {
    patch.clone().into_change().map_or(present, Option::unwrap_or_default)
}

/// What one piece costs from now on.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct NewPrice {
    pub price: MoneyJson,
}

/// Sets the price. Orders keep the price of their moment.
#[utoipa::path(post, path = "/v1/products/{id}/price", tag = "products", request_body = NewPrice,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt), (status = 422, body = ProblemDocument)))]
async fn reprice(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<NewPrice>,
) -> Result<Response, Problem> {
    let price = command.body.price.money("/price")?;
    run(&app, id, &command, ProductCommand::Reprice { price }).await
}

/// Puts a product on sale (again).
#[utoipa::path(post, path = "/v1/products/{id}/publish", tag = "products", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument)))]
async fn publish(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    run(&app, id, &command, ProductCommand::Publish).await
}

/// Takes a product off sale. Open orders are still served.
#[utoipa::path(post, path = "/v1/products/{id}/retire", tag = "products", params(("id" = Uuid, Path)),
    responses((status = 200, body = CommandReceipt), (status = 404, body = ProblemDocument)))]
async fn retire(State(app): State<App>, Path(id): Path<Uuid>, command: Command) -> Result<Response, Problem> {
    run(&app, id, &command, ProductCommand::Retire).await
}

/// Pieces that came in.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct Receipt {
    pub quantity: u32,
    /// No personal data.
    #[serde(default)]
    pub reason: String,
}

/// Adds pieces to the stock. Send `Idempotency-Key`: without one, sending it again adds them again.
#[utoipa::path(post, path = "/v1/products/{id}/receive", tag = "products", request_body = Receipt,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt),
    (status = 409, description = "stock_limit", body = ProblemDocument), (status = 422, body = ProblemDocument)))]
async fn receive(State(app): State<App>, Path(id): Path<Uuid>, command: Command<Receipt>) -> Result<Response, Problem> {
    let (quantity, reason) = (command.body.quantity, command.body.reason.clone());
    run(&app, id, &command, ProductCommand::ReceiveStock { quantity, reason }).await
}

/// What a count of the store found.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct Count {
    /// Pieces in the store, those promised to open orders included.
    pub on_hand: u32,
    /// No personal data.
    pub reason: String,
}

/// Sets the stock to what was counted, at least what is promised to open orders.
#[utoipa::path(post, path = "/v1/products/{id}/adjust", tag = "products", request_body = Count,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt),
    (status = 409, description = "below_reserved, stock_limit", body = ProblemDocument)))]
async fn adjust(State(app): State<App>, Path(id): Path<Uuid>, command: Command<Count>) -> Result<Response, Problem> {
    let (on_hand, reason) = (command.body.on_hand, command.body.reason.clone());
    run(&app, id, &command, ProductCommand::AdjustStock { on_hand, reason }).await
}

async fn run<T>(app: &App, id: Uuid, command: &Command<T>, what: ProductCommand) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let receipt = app.writer.execute::<Product>(&command.caller.tenant, id, &command.meta, &what).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::missing_from_search;
    use bus_schema::{
        Currency, Micros, Money,
        shop::product::{ProductStatus, StockLevel},
    };

    #[test]
    fn search_knows_every_field_a_list_names() {
        let at = Micros(1_769_903_910_000_000);
        let (tags, course) = (vec!["ink".into()], Some(Uuid::from_u128(0xc0)));
        let row = ProductRow {
            sku: "INK-1".into(),
            details: ProductDetails { name: "Ink".into(), description: String::new(), tags, course },
            price: Money::new(500, Currency::EUR),
            status: ProductStatus::Published,
            stock: StockLevel { on_hand: 3, reserved: 1 },
        };
        let record = Record { revision: 9, first: 5, created_at: at, updated_at: at, row };
        assert_eq!(missing_from_search::<ProductResource>(&record, &Keyring::default()), Vec::<&str>::new());
        let shown = ProductResource::present(Uuid::from_u128(1), &record, &Keyring::default());
        assert_eq!((shown.available, shown.status), (2, "published"));
        assert!(STATUSES.contains(&shown.status));
    }

    #[test]
    fn null_empties_and_absence_keeps() {
        let changes: ProductChanges = serde_json::from_str(r#"{"tags":null,"course":null}"#).unwrap();
        assert_eq!(emptied(&changes.tags, vec!["ink".to_owned()]), Vec::<String>::new());
        assert_eq!(emptied(&changes.description, "old".to_owned()), "old");
        assert_eq!(changes.course.into_change(), Some(None));
    }
}
