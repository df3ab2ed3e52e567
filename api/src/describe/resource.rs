//! The reads that every collection has.

use super::{Described, answer, page_of, parameter, problem, text};
use crate::{
    history::HistoryPage,
    http::list::ListSpec,
    resource::{Resource, read_scope},
};
use projectors::search::grammar;
use utoipa::{
    ToSchema,
    openapi::{
        Ref, RefOr,
        path::{OperationBuilder, ParameterBuilder, ParameterIn},
        schema::Type,
    },
};

/// List, record and history of a collection.
pub fn resource<R: Resource>() -> [Described; 3] {
    let (name, noun, scope) = (R::PATH, R::NOUN, read_scope::<R>());
    let record = || RefOr::Ref(Ref::from_schema_name(R::Json::name()));
    let mut list = OperationBuilder::new()
        .tag(name)
        .summary(Some(format!("Lists {name}")))
        .description(Some(format!("Needs `{scope}`. Newest first unless `sort` says otherwise.")))
        .operation_id(Some("list"));
    for parameter in list_parameters(&R::LIST) {
        list = list.parameter(parameter);
    }
    let list =
        list.response("200", answer(page_of(record()), "A page")).response("400", problem("A parameter is wrong"));
    let id = || text("id", ParameterIn::Path, "The record's id (UUID)");
    let none = || problem("There is none, or it belongs to another tenant");
    let as_of = text("as_of", ParameterIn::Query, "The record as it was: a position (eu1:48213) or a time (RFC 3339)");
    let one = OperationBuilder::new()
        .tag(name)
        .summary(Some(format!("One {noun}")))
        .description(Some(format!("Needs `{scope}`. `ETag` is the revision; `If-None-Match` gives 304.")))
        .operation_id(Some("get"))
        .parameter(id())
        .parameter(as_of)
        .response("200", answer(record(), "The record"))
        .response("404", none());
    let history = OperationBuilder::new()
        .tag(name)
        .summary(Some(format!("Every event of one {noun}, oldest first")))
        .description(Some(format!("Needs `{scope}`.")))
        .operation_id(Some("history"))
        .parameter(id())
        .parameter(parameter("limit", ParameterIn::Query, "1 to 200, 50 when absent", Type::Integer))
        .parameter(parameter("after", ParameterIn::Query, "The `next` of the previous page", Type::Integer))
        .response("200", answer(Ref::from_schema_name(HistoryPage::name()), "A page of events"))
        .response("404", none());
    let base = format!("/v1/{name}");
    [
        Described::new(&base, list).with::<R::Json>(),
        Described::new(format!("{base}/{{id}}"), one).with::<R::Json>(),
        Described::new(format!("{base}/{{id}}/history"), history).with::<HistoryPage>(),
    ]
}

fn list_parameters(spec: &ListSpec) -> Vec<ParameterBuilder> {
    let query = |name: &str, what: String| text(name, ParameterIn::Query, &what);
    let mut parameters = vec![
        parameter("limit", ParameterIn::Query, "1 to 200, 50 when absent", Type::Integer),
        query("after", "The `next` of the previous page".into()),
        query("fields", "Only these fields, separated by commas".into()),
        parameter("total", ParameterIn::Query, "Count all matching records", Type::Boolean),
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
    for (field, kind) in spec.filterable {
        let operators = grammar::operators(*kind);
        let what = format!("`filter[{field}][_op]=`, {}; _op is one of {}", kind.noun(), operators.join(" "));
        parameters.push(query(&format!("filter[{field}]"), what));
    }
    parameters
}
