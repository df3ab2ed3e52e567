//! The description of the API: of what has no handler of its own to stand on (every collection's reads, the feed,
//! search), and what all endpoints have in common.
//!
//! Routes come into being only together with their description, so neither can be without the other.

mod common;
mod resource;
#[cfg(test)]
mod tests;

use crate::{app::App, feed::FeedPage, http::problem::ProblemDocument, listing::ListPage, search::Found};
use axum::routing::MethodRouter;
pub use common::complete;
pub use resource::resource;
use utoipa::{
    ToSchema,
    openapi::{
        ContentBuilder, HttpMethod, Ref, RefOr, Required, ResponseBuilder, Schema,
        path::{OperationBuilder, ParameterBuilder, ParameterIn, Paths},
        schema::{ArrayBuilder, ObjectBuilder, Type},
    },
};
use utoipa_axum::router::UtoipaMethodRouter;

type Schemas = Vec<(String, RefOr<Schema>)>;

/// The description of a GET at an address, waiting for its handler.
pub struct Described {
    path: String,
    operation: OperationBuilder,
    schemas: Schemas,
}

impl Described {
    fn new(path: impl Into<String>, operation: OperationBuilder) -> Self {
        Self { path: path.into(), operation, schemas: Vec::new() }
    }

    fn with<T: ToSchema>(mut self) -> Self {
        self.schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut self.schemas);
        self
    }

    /// The route.
    pub fn answered_by(self, handler: MethodRouter<App>) -> UtoipaMethodRouter<App> {
        let mut paths = Paths::new();
        paths.add_path_operation(&self.path, vec![HttpMethod::Get], self.operation);
        (self.schemas, paths, handler)
    }
}

fn text(name: &str, place: ParameterIn, what: &str) -> ParameterBuilder {
    parameter(name, place, what, Type::String)
}

fn parameter(name: &str, place: ParameterIn, what: &str, kind: Type) -> ParameterBuilder {
    let required = if matches!(place, ParameterIn::Path) { Required::True } else { Required::False };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(what))
        .schema(Some(ObjectBuilder::new().schema_type(kind)))
}

fn answer(schema: impl Into<RefOr<Schema>>, what: &str) -> ResponseBuilder {
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(what).content("application/json", content)
}

fn problem(what: &str) -> ResponseBuilder {
    let schema = Ref::from_schema_name(ProblemDocument::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(what).content("application/problem+json", content)
}

/// A page of a list of `item`.
fn page_of(item: RefOr<Schema>) -> Schema {
    let string = || ObjectBuilder::new().schema_type(Type::String);
    let counts = ArrayBuilder::new().items(
        ObjectBuilder::new()
            .property("value", string())
            .property("count", ObjectBuilder::new().schema_type(Type::Integer))
            .required("value")
            .required("count"),
    );
    let facets = ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("Counts by value of the facets asked for"))
        .additional_properties(Some(counts));
    let page = ObjectBuilder::new()
        .property("items", ArrayBuilder::new().items(item))
        .property("next", string().description(Some("Pass as `after` for the next page; absent on the last")))
        .property("total", ObjectBuilder::new().schema_type(Type::Integer).description(Some("When `total=true`")))
        .property("facets", facets)
        .required("items");
    Schema::Object(page.build())
}

/// The log of the tenant: `/v1/events` and `/v1/changes` are the same reader.
pub fn feed(path: &str, summary: &str, id: &str) -> Described {
    let query = |name: &str, what: &str| text(name, ParameterIn::Query, what);
    let point = "a position (`eu1:48213`) or a time (RFC 3339)";
    let pieces = |what: &str| {
        let content = ContentBuilder::new().schema(Some(ObjectBuilder::new().schema_type(Type::String))).build();
        (what.to_owned(), content)
    };
    let mut ok = answer(Ref::from_schema_name(FeedPage::name()), "A page, or a stream by `Accept`");
    for (media_type, content) in [pieces("application/x-ndjson"), pieces("text/event-stream")] {
        ok = ok.content(media_type, content);
    }
    let operation = OperationBuilder::new()
        .tag("events")
        .summary(Some(summary))
        .description(Some(
            "Needs the read scope of the aggregate named, or `*.*:read`. With `Accept: application/x-ndjson` one event \
             a line, with `text/event-stream` server-sent events that follow the log; `Last-Event-ID` resumes.",
        ))
        .operation_id(Some(id))
        .parameter(query("from", &format!("The first event: {point}")))
        .parameter(query("since", &format!("After this: {point}")))
        .parameter(query("to", &format!("Up to this, inclusive: {point}")))
        .parameter(query("context", "Only this context (`crm`)"))
        .parameter(query("aggregate", "Only this kind of aggregate (`contact`)"))
        .parameter(query("id", "Only this aggregate"))
        .parameter(query("kind", "Only these kinds (`contact.created`), separated by commas"))
        .parameter(query("family", "`events` (when absent) or `facts`"))
        .parameter(parameter("follow", ParameterIn::Query, "Go on with what comes (NDJSON)", Type::Boolean))
        .parameter(parameter("limit", ParameterIn::Query, "At most so many; a page: 100, at most 1000", Type::Integer))
        .parameter(text("Last-Event-ID", ParameterIn::Header, "The last position the client has"))
        .response("200", ok)
        .response("400", problem("A parameter is wrong"));
    Described::new(path, operation).with::<FeedPage>()
}

/// The records of a replay.
pub fn replayed_records() -> Described {
    let query = |name: &str, what: &str| text(name, ParameterIn::Query, what);
    let operation = OperationBuilder::new()
        .tag("events")
        .summary(Some("The records of a replay"))
        .description(Some("With the `filter[field][_op]=` of the live list of the same collection."))
        .operation_id(Some("replayed_records"))
        .parameter(text("id", ParameterIn::Path, "The replay's id (UUID)"))
        .parameter(query("sort", "As in the live list"))
        .parameter(query("fields", "Only these fields, separated by commas"))
        .parameter(parameter("limit", ParameterIn::Query, "1 to 200, 50 when absent", Type::Integer))
        .response("200", answer(page_of(RefOr::T(Schema::Object(ObjectBuilder::new().build()))), "A page"))
        .response("404", problem("There is none, or it belongs to another tenant"));
    Described::new("/v1/replays/{id}/records", operation)
}

/// One question over several collections.
pub fn search(collections: &str) -> Described {
    let query = |name: &str, what: &str| text(name, ParameterIn::Query, what);
    let page = page_of(RefOr::Ref(Ref::from_schema_name(Found::name())));
    let operation = OperationBuilder::new()
        .tag("search")
        .summary(Some("Finds records of every collection the caller may read"))
        .description(Some("The best first. Collections without a read scope are passed over."))
        .operation_id(Some("find"))
        .parameter(query("q", "Words to search for"))
        .parameter(query("in", &format!("Only these, separated by commas, of {collections}")))
        .parameter(parameter("limit", ParameterIn::Query, "1 to 200, 50 when absent", Type::Integer))
        .parameter(query("after", "The `next` of the previous page"))
        .parameter(parameter("total", ParameterIn::Query, "Count all that match", Type::Boolean))
        .response("200", answer(page, "What was found"))
        .response("400", problem("A parameter is wrong"));
    Described::new("/v1/search", operation).with::<Found>().with::<ListPage<Found>>()
}
