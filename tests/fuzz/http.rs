//! What comes in over HTTP: query strings, filters, bodies, headers.

use super::mutate::run;
use api::http::{
    body, bracket,
    correlation::Correlation,
    etag::{IfMatch, IfNoneMatch},
    filter,
    idempotency::IdempotencyKey,
    list::{ListQuery, ListSpec},
    projection::Projection,
    strict_json,
    token::ConsistencyToken,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use projectors::search::literal::{FieldType, Variables};

const FIELDS: &[(&str, FieldType)] = &[
    ("name", FieldType::Text),
    ("email", FieldType::Keyword),
    ("id", FieldType::Id),
    ("status", FieldType::Choice(&["open", "paid"])),
    ("total", FieldType::Integer),
    ("active", FieldType::Bool),
    ("created_at", FieldType::Time),
];

const SPEC: ListSpec = ListSpec {
    filterable: FIELDS,
    sortable: &["name", "created_at"],
    default_sort: "-created_at",
    expandable: &["company"],
    facetable: &["status"],
    fields: &["id", "name", "email", "company.name"],
    searchable: true,
    ..ListSpec::NOTHING
};

const VARIABLES: Variables<'static> = Variables { now: 1_700_000_000_000_000, current_user: Some("u") };

const QUERY_WORDS: &[&[u8]] = &[
    b"filter[",
    b"]",
    b"[_eq]",
    b"[_between]",
    b"[_in]",
    b"[_or][0]",
    b"[_and][999999999999]",
    b"[_not]",
    b"&",
    b"=",
    b",",
    b"%",
    b"%00",
    b"%ff",
    b"%5B",
    b"+",
    b"$NOW",
    b"$NOW(-7 days)",
    b"$NOW(-9999999999999999999 years)",
    b"$CURRENT_USER",
    b"sort=",
    b"limit=",
    b"after=",
    b"fields=",
    b"-9223372036854775808",
    b"0000-00-00",
];

const JSON_WORDS: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b":",
    b",",
    b"\"_and\":[",
    b"\"_or\":",
    b"\"_eq\":",
    b"\\ud800",
    b"\\u0000",
    b"1e400",
    b"-0",
    b"null",
    b"\xef\xbb\xbf",
    b"99999999999999999999",
    b"\"a\":1,\"a\":2",
];

#[test]
fn list_queries() {
    let corpus: [&[u8]; 4] = [
        b"filter[name][_contains]=a&sort=-name&limit=10&fields=id,name&total=true",
        b"filter[_or][0][status][_eq]=paid&filter[_or][1][total][_between]=1,5&expand=company",
        b"filter[created_at][_gte]=$NOW(-7%20days)&after=abc&search=x&facets=status&wait_ms=5",
        b"filter={\"status\":{\"_in\":[\"open\"]}}",
    ];
    run("list queries", &corpus, QUERY_WORDS, |input| {
        let text = String::from_utf8_lossy(input);
        _ = bracket::parse(&text);
        ListQuery::try_parse(Some(&text), &SPEC, &VARIABLES).is_ok()
    });
}

#[test]
fn filters() {
    let corpus: [&[u8]; 2] = [
        br#"{"_and":[{"status":{"_eq":"paid"}},{"total":{"_between":[1,5]}},{"created_at":{"_lt":"$NOW"}}]}"#,
        br#"{"_or":[{"name":{"_icontains":"a"}},{"_not":{"active":{"_eq":true}}}]}"#,
    ];
    run("filters in JSON", &corpus, JSON_WORDS, |input| {
        let Ok(tree) = serde_json::from_slice(input) else { return false };
        let typed = filter::parse(&tree, false, FIELDS, &VARIABLES).is_ok();
        filter::parse(&tree, true, FIELDS, &VARIABLES).is_ok() || typed
    });
}

#[derive(serde::Deserialize, serde::Serialize)]
struct Body {
    name: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    inner: Option<Box<Body>>,
}

#[test]
fn bodies() {
    let corpus: [&[u8]; 2] =
        [br#"{"name":"a","tags":["b"],"inner":{"name":"c"}}"#, br#"{"name":"a","b":[[[{"c":null}]]]}"#];
    let words: Vec<&[u8]> = JSON_WORDS.iter().copied().chain([&b"{\"name\":\"\",\"inner\":"[..]]).collect();
    run("bodies", &corpus, &words, |input| {
        let strict = strict_json::check(input, strict_json::MAX_DEPTH).is_ok();
        let decoded = body::decode::<Body>(input).is_ok();
        _ = body::decode::<serde_json::Value>(input);
        assert!(strict || !decoded, "what is decoded was checked");
        decoded
    });
}

#[test]
fn headers() {
    let corpus: [&[u8]; 5] = [
        b"\"r48213\", W/\"r1\"",
        b"*",
        b"eu1:48213, us1:7",
        b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        b"\"8e03978e-40d5-43e8-bc93-6894a57f9324\"",
    ];
    let words: [&[u8]; 8] = [b"\"", b"W/", b",", b":", b"r18446744073709551616", b"00-", b"\xff", b"\t"];
    run("headers", &corpus, &words, |input| {
        let Ok(value) = HeaderValue::from_bytes(input) else { return false };
        let with = |name: &'static str| HeaderMap::from_iter([(HeaderName::from_static(name), value.clone())]);
        let matched = IfMatch::from_headers(&with("if-match"));
        let accepted = matched.as_ref().is_ok_and(|tags| tags.check(Some(48_213)).is_ok());
        let none = IfNoneMatch::from_headers(&with("if-none-match"));
        _ = none.holds_revision(1);
        let key = IdempotencyKey::from_headers(&with("idempotency-key"));
        if let Ok(key) = &key {
            _ = key.command_id("demo", "u", "POST", "/v1/contacts");
        }
        let correlation = Correlation::from_headers(&with("traceparent"));
        _ = (correlation.traceparent(), correlation.header());
        let text = String::from_utf8_lossy(input);
        let token = text.parse::<ConsistencyToken>();
        if let Ok(token) = &token {
            assert_eq!(token.to_string().parse::<ConsistencyToken>().as_ref(), Ok(token));
        }
        let fields = Projection::try_parse(&text, SPEC.fields);
        accepted || key.is_ok() || token.is_ok() || fields.is_ok()
    });
}
