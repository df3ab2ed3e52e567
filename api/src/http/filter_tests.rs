use super::*;
use crate::http::{bracket, codes::field};
use projectors::search::{FieldValue as Value, Op, literal::FieldType};
use serde_json::{Map, json};

const FIELDS: Filterable = &[
    ("name", FieldType::Text),
    ("email", FieldType::Keyword),
    ("status", FieldType::Choice(&["open", "paid"])),
    ("total", FieldType::Integer),
    ("vip", FieldType::Bool),
    ("created_at", FieldType::Time),
    ("author.name", FieldType::Text),
];

const VARIABLES: Variables<'static> = Variables { now: 1_000_000, current_user: None };

fn text(query: &str) -> Result<Filter, Vec<FieldError>> {
    let mut tree = Map::new();
    for parameter in bracket::parse(query).unwrap() {
        bracket::graft(&mut tree, &parameter).unwrap();
    }
    parse(&Json::Object(tree), true, FIELDS, &VARIABLES)
}

fn json_form(tree: Json) -> Result<Filter, Vec<FieldError>> {
    parse(&tree, false, FIELDS, &VARIABLES)
}

fn cmp(field: &str, op: Op, values: &[Value]) -> Filter {
    Filter::Cmp { field: field.to_owned(), op, values: values.to_vec() }
}

fn word(text: &str) -> Value {
    Value::Str(text.to_owned())
}

#[test]
fn both_forms_give_the_same_filter() {
    let expected = Filter::And(vec![
        cmp("status", Op::In, &[word("open"), word("paid")]),
        Filter::Or(vec![cmp("total", Op::Gte, &[Value::I64(100)]), cmp("vip", Op::Eq, &[Value::Bool(true)])]),
    ]);
    let query = "filter[status][_in]=open,paid&filter[_or][0][total][_gte]=100&filter[_or][1][vip][_eq]=true";
    assert_eq!(text(query).unwrap(), expected);
    let tree = json!({"status": {"_in": ["open", "paid"]}, "_or": [{"total": {"_gte": 100}}, {"vip": {"_eq": true}}]});
    assert_eq!(json_form(tree).unwrap(), expected);
}

#[test]
fn every_operator_is_understood() {
    for (query, expected) in [
        ("filter[email]=a@b", cmp("email", Op::Eq, &[word("a@b")])),
        ("filter[email][_neq]=a", cmp("email", Op::Neq, &[word("a")])),
        ("filter[total][_lt]=1", cmp("total", Op::Lt, &[Value::I64(1)])),
        ("filter[total][_lte]=1", cmp("total", Op::Lte, &[Value::I64(1)])),
        ("filter[total][_gt]=1", cmp("total", Op::Gt, &[Value::I64(1)])),
        ("filter[total][_nin]=1,2", cmp("total", Op::Nin, &[Value::I64(1), Value::I64(2)])),
        ("filter[total][_between]=1,2", cmp("total", Op::Between, &[Value::I64(1), Value::I64(2)])),
        ("filter[email][_null]=true", cmp("email", Op::Null, &[])),
        ("filter[email][_null]=false", cmp("email", Op::NotNull, &[])),
        ("filter[email][_nnull]", cmp("email", Op::NotNull, &[])),
        ("filter[email][_empty]=false", Filter::Not(Box::new(cmp("email", Op::Empty, &[])))),
        ("filter[name][_contains]=x", cmp("name", Op::Contains, &[word("x")])),
        ("filter[name][_icontains]=x", cmp("name", Op::IContains, &[word("x")])),
        ("filter[name][_starts_with]=x", cmp("name", Op::StartsWith, &[word("x")])),
        ("filter[created_at][_gt]=$NOW", cmp("created_at", Op::Gt, &[Value::Time(1_000_000)])),
        ("filter[created_at][_within]=1 second", cmp("created_at", Op::Gte, &[Value::Time(0)])),
        (
            "filter[created_at][_not_within]=1 second",
            Filter::Not(Box::new(cmp("created_at", Op::Gte, &[Value::Time(0)]))),
        ),
        ("filter[author][name][_eq]=x", cmp("author.name", Op::Eq, &[word("x")])),
        ("filter[author.name][_eq]=x", cmp("author.name", Op::Eq, &[word("x")])),
        ("", Filter::All),
    ] {
        assert_eq!(text(query), Ok(expected), "{query}");
    }
    let range = Filter::And(vec![cmp("total", Op::Gt, &[Value::I64(1)]), cmp("total", Op::Lt, &[Value::I64(9)])]);
    assert_eq!(text("filter[total][_gt]=1&filter[total][_lt]=9").unwrap(), range);
}

#[test]
fn refusals_name_the_parameter_and_what_is_allowed() {
    for (query, pointer, code) in [
        ("filter[nope][_eq]=1", "filter[nope][_eq]", ""),
        ("filter[nope]=1", "filter[nope]", field::UNKNOWN_FIELD),
        ("filter[total][_like]=1", "filter[total][_like]", field::UNKNOWN_OPERATOR),
        ("filter[total][_contains]=1", "filter[total][_contains]", field::OPERATOR_NOT_ALLOWED),
        ("filter[vip][_in]=true", "filter[vip][_in]", field::OPERATOR_NOT_ALLOWED),
        ("filter[total][_eq]=ten", "filter[total][_eq]", field::INVALID_VALUE),
        ("filter[status][_in]=open,shut", "filter[status][_in]", field::INVALID_VALUE),
        ("filter[total][_between]=1", "filter[total][_between]", field::INVALID_VALUE),
        ("filter[email][_null]=maybe", "filter[email][_null]", field::INVALID_VALUE),
        ("filter[total][_within]=3 days", "filter[total][_within]", field::OPERATOR_NOT_ALLOWED),
        ("filter[created_at][_within]=soon", "filter[created_at][_within]", field::INVALID_VALUE),
        ("filter[created_at][_not_within]=-3 days", "filter[created_at][_not_within]", field::INVALID_VALUE),
        ("filter[_or][a][total]=1", "filter[_or]", field::MALFORMED),
        (
            "filter[_or][0][_or][0][_or][0][_or][0][_or][0][vip]=true",
            "filter[_or][0][_or][0][_or][0][_or][0][_or]",
            field::TOO_DEEP,
        ),
    ] {
        let errors = text(query).unwrap_err();
        if !code.is_empty() {
            assert_eq!((&*errors[0].pointer, &*errors[0].code), (pointer, code), "{query}");
        }
    }
    assert_eq!(text("filter[status]=x").unwrap_err()[0].allowed, ["open", "paid"]);
    assert!(text("filter[x]=1").unwrap_err()[0].allowed.contains(&"email".to_owned()));
    assert!(text("filter[vip][_gt]=1").unwrap_err()[0].allowed.contains(&"_neq".to_owned()));
    let all = text("filter[x]=1&filter[total]=a&filter[vip][_gt]=1").unwrap_err();
    assert_eq!(all.len(), 3, "all errors come at once");
}

#[test]
fn json_is_taken_strictly() {
    for tree in [
        json!([]),
        json!({"total": "5"}),
        json!({"total": {"_in": "1,2"}}),
        json!({"total": {"_in": []}}),
        json!({"total": {}}),
        json!({"email": null}),
        json!({"email": {"_null": "true"}}),
        json!({"created_at": {"_within": 30}}),
        json!({"_or": []}),
        json!({"_or": [{}]}),
        json!({"_and": [1]}),
        json!({"email": {"x": {"y": 1}}}),
    ] {
        assert!(json_form(tree.clone()).is_err(), "{tree}");
    }
    assert_eq!(json_form(json!({})).unwrap(), Filter::All);
}

#[test]
fn size_is_bounded() {
    let many = |n: usize| json!({"_and": (0..n).map(|i| json!({"total": i})).collect::<Vec<_>>()});
    json_form(many(MAX_CLAUSES)).unwrap();
    assert_eq!(json_form(many(MAX_CLAUSES + 1)).unwrap_err()[0].code, field::TOO_MANY);
    let values: Vec<_> = (0..=MAX_VALUES).collect();
    assert_eq!(json_form(json!({"total": {"_in": values}})).unwrap_err()[0].code, field::TOO_MANY);
    let wrong: Vec<_> = (0..100).map(|n| json!({format!("x{n}"): 1})).collect();
    assert_eq!(json_form(json!({"_or": wrong})).unwrap_err().len(), 20);
}
