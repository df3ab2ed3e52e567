//! `/v1/fulfilments`: what the paid course lines of orders became. The id is the order's.

use crate::{
    app::App,
    command::{Command, CommandReceipt},
    http::{
        extract::Path,
        list::ListSpec,
        problem::{Problem, ProblemDocument},
    },
    money::MoneyJson,
    resource::Resource,
};
use axum::{extract::State, http::StatusCode, response::Response};
use bus_schema::{
    Keyring, Money,
    shop::fulfilment::{FulfilmentBook, LineStanding, LineState, Withdrawal},
};
use projectors::{
    Record,
    search::literal::FieldType,
    shop::fulfilments::{Fulfilments, status_word},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use writers::shop::fulfilment::{Fulfilment, FulfilmentCommand};

const WRITE: &str = "shop.fulfilment:write";
const STATUSES: &[&str] = &["open", "settled"];

pub struct FulfilmentResource;

/// What the course lines of a paid order became.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Fulfilment)]
pub struct FulfilmentJson {
    /// The order's id.
    pub id: Uuid,
    pub revision: u64,
    pub order: Uuid,
    /// The learner; null when the order has no contact.
    pub contact: Option<Uuid>,
    /// `open` until everything is done.
    pub status: &'static str,
    /// The deadline passed before everything was done. False again when it is.
    pub overdue: bool,
    /// Money of a line has to be given back.
    pub needs_refund: bool,
    pub lines: Vec<FulfilmentLine>,
    pub deadline: String,
    pub created_at: String,
    pub updated_at: String,
}

/// A course line.
#[derive(Debug, Serialize, ToSchema)]
pub struct FulfilmentLine {
    pub product: Uuid,
    pub course: Uuid,
    pub quantity: u32,
    /// `wanted` (not done yet), `enrolled`, `refused`, `withdrawn`, `completed` (refunded after the learner had completed the
    /// course) or `left` (refunded after the learner had left it).
    pub state: &'static str,
    pub enrolment: Option<Uuid>,
    /// Why it was refused: `course_full`, `course_closed`, `already_enrolled`, `no_contact`, `contact_erased`.
    pub reason: Option<&'static str>,
    /// Pieces whose money went back.
    pub refunded: u32,
    /// Pieces whose money is to go back: of a refused line all, of others those beyond the first, because a buyer is one
    /// learner.
    pub refund_due: u32,
    #[schema(value_type = MoneyJson)]
    pub refund_due_amount: Money,
}

fn line(standing: &LineStanding) -> FulfilmentLine {
    let (state, enrolment, reason) = match standing.state {
        LineState::Wanted => ("wanted", None, None),
        LineState::Enrolled { enrolment, .. } => ("enrolled", Some(enrolment), None),
        LineState::Refused(reason) => ("refused", None, Some(reason.as_str())),
        LineState::Closed(Withdrawal::Withdrawn) => ("withdrawn", None, None),
        LineState::Closed(Withdrawal::Completed) => ("completed", None, None),
        LineState::Closed(Withdrawal::Left) => ("left", None, None),
    };
    let (due, price) = (standing.refund_due(), standing.line.unit_price);
    FulfilmentLine {
        product: standing.line.product,
        course: standing.line.course,
        quantity: standing.line.quantity,
        state,
        enrolment,
        reason,
        refunded: standing.refunded,
        refund_due: due,
        refund_due_amount: Money::new(price.amount.saturating_mul(due.into()), price.currency),
    }
}

impl Resource for FulfilmentResource {
    type View = Fulfilments;
    type Json = FulfilmentJson;
    const NOUN: &'static str = "fulfilment";
    const LIST: ListSpec = ListSpec {
        filterable: &[
            ("status", FieldType::Choice(STATUSES)),
            ("overdue", FieldType::Bool),
            ("needs_refund", FieldType::Bool),
            ("contact", FieldType::Id),
            ("deadline", FieldType::Time),
            ("created_at", FieldType::Time),
            ("updated_at", FieldType::Time),
        ],
        sortable: &["deadline", "created_at", "updated_at"],
        default_sort: "-created_at",
        facetable: &["status"],
        ..ListSpec::NOTHING
    };

    fn present(id: Uuid, record: &Record<FulfilmentBook>, _: &Keyring) -> FulfilmentJson {
        let row = &record.row;
        FulfilmentJson {
            id,
            revision: record.revision,
            order: id,
            contact: row.contact,
            status: status_word(row),
            overdue: row.overdue,
            needs_refund: row.needs_refund(),
            lines: row.lines.values().map(line).collect(),
            deadline: row.deadline.to_string(),
            created_at: record.created_at.to_string(),
            updated_at: record.updated_at.to_string(),
        }
    }
}

/// The command endpoints.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(reopen))
}

/// Which line.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct ReopenedLine {
    /// The product of the line.
    pub product: Uuid,
}

/// Lets a refused line be tried again, because the course has a place now.
#[utoipa::path(post, path = "/v1/fulfilments/{id}/reopen", tag = "orders", request_body = ReopenedLine,
    params(("id" = Uuid, Path)), responses((status = 200, body = CommandReceipt),
    (status = 404, body = ProblemDocument),
    (status = 409, description = "line_not_refused, line_refunded", body = ProblemDocument)))]
async fn reopen(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    command: Command<ReopenedLine>,
) -> Result<Response, Problem> {
    command.allow(WRITE)?;
    let (tenant, product) = (&command.caller.tenant, command.body.product);
    let reopen = FulfilmentCommand::Reopen { product, patience: app.fulfilment_patience };
    let receipt = app.writer.execute::<Fulfilment>(tenant, id, &command.meta, &reopen).await?;
    Ok(app.answer(StatusCode::OK, id, &receipt))
}
