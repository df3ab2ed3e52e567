//! The description of what has no handler of its own: every collection's reads, the feed, search.

use crate::{
    http::{filter::Op, list::ListSpec, problem::ProblemDocument},
    resource::{Resource, collection, read_scope},
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, HttpMethod, InfoBuilder, OpenApi, PathItem, Ref, RefOr, Required, ResponseBuilder, Schema,
        path::{OperationBuilder, ParameterBuilder, ParameterIn},
        schema::{ArrayBuilder, ObjectBuilder, Type},
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

/// Title, version and how to authenticate.
pub fn document(openapi: &mut OpenApi) {
    openapi.info = InfoBuilder::new()
        .title("Millrace")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Commands are durable when they are answered; `Consistency-Token` lets a read wait for them. Lists take \
             `filter[field][_op]=`, `sort=-a,b`, `fields=`, `limit`, `after`. Errors are RFC 9457 problems.",
        ))
        .build();
    let components = openapi.components.get_or_insert_with(Default::default);
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    components.security_schemes.insert("bearer".into(), RefOr::T(bearer));
    openapi.security = Some(vec![SecurityRequirement::new("bearer", Vec::<String>::new())]);
    component::<ProblemDocument>(openapi);
}

fn component<T: ToSchema>(openapi: &mut OpenApi) {
    let mut schemas = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut schemas);
    let components = openapi.components.get_or_insert_with(Default::default);
    components.schemas.extend(schemas);
}

fn text(name: &str, place: ParameterIn, what: &str) -> ParameterBuilder {
    let required = if matches!(place, ParameterIn::Path) { Required::True } else { Required::False };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(what))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
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

/// List, record and history of a collection.
pub fn resource<R: Resource>(openapi: &mut OpenApi) {
    component::<R::Json>(openapi);
    let (name, noun, scope) = (collection::<R>(), R::NOUN, read_scope::<R>());
    let record = || RefOr::Ref(Ref::from_schema_name(R::Json::name()));
    let page = ObjectBuilder::new()
        .property("items", ArrayBuilder::new().items(record()))
        .property("next", ObjectBuilder::new().schema_type(Type::String))
        .property("total", ObjectBuilder::new().schema_type(Type::Integer))
        .build();
    let mut list = OperationBuilder::new()
        .tag(name)
        .summary(Some(format!("Lists {name}")))
        .description(Some(format!("Needs `{scope}`. Newest first unless `sort` says otherwise.")))
        .operation_id(Some(format!("list_{name}")));
    for parameter in list_parameters(&R::LIST) {
        list = list.parameter(parameter);
    }
    let list =
        list.response("200", answer(Schema::Object(page), "A page")).response("400", problem("A parameter is wrong"));
    let id = || text("id", ParameterIn::Path, "The record's id (UUID)");
    let as_of = text("as_of", ParameterIn::Query, "The record as it was: a position (eu1:48213) or a time (RFC 3339)");
    let one = OperationBuilder::new()
        .tag(name)
        .summary(Some(format!("One {noun}")))
        .description(Some(format!("Needs `{scope}`. `ETag` is the revision; `If-None-Match` gives 304.")))
        .operation_id(Some(format!("get_{noun}")))
        .parameter(id())
        .parameter(as_of)
        .response("200", answer(record(), "The record"))
        .response("404", problem("There is none, or it belongs to another tenant"));
    let history = OperationBuilder::new()
        .tag(name)
        .summary(Some(format!("Every event of one {noun}, oldest first")))
        .operation_id(Some(format!("history_of_{noun}")))
        .parameter(id())
        .response("200", answer(crate::history::HistoryPage::schema(), "A page of events"));
    let base = format!("/v1/{name}");
    add(openapi, &base, list);
    add(openapi, &format!("{base}/{{id}}"), one);
    add(openapi, &format!("{base}/{{id}}/history"), history);
}

fn add(openapi: &mut OpenApi, path: &str, operation: OperationBuilder) {
    let item = PathItem::new(HttpMethod::Get, operation);
    match openapi.paths.paths.get_mut(path) {
        Some(present) => present.merge_operations(item),
        None => _ = openapi.paths.paths.insert(path.to_owned(), item),
    }
}

fn list_parameters(spec: &ListSpec) -> Vec<ParameterBuilder> {
    let query = |name: &str, what: String| text(name, ParameterIn::Query, &what);
    let mut parameters = vec![
        query("limit", "1 to 200, 50 when absent".into()),
        query("after", "The `next` of the previous page".into()),
        query("fields", "Only these fields, separated by commas".into()),
        query("total", "true: count all matching records".into()),
    ];
    if !spec.sortable.is_empty() {
        parameters.push(query("sort", format!("Of {}; `-` in front descends", spec.sortable.join(", "))));
    }
    if spec.searchable {
        parameters.push(query("q", "Words to search for".into()));
    }
    if !spec.facetable.is_empty() {
        parameters.push(query("facets", format!("Counts by value of {}", spec.facetable.join(", "))));
    }
    let operators: Vec<&str> = Op::ALL.iter().map(|op| op.text()).collect();
    for (field, kind) in spec.filterable {
        let what = format!("`filter[{field}][_op]=`, {}; _op is one of {}", kind.noun(), operators.join(" "));
        parameters.push(query(&format!("filter[{field}]"), what));
    }
    parameters
}
