//! Filters, orders, counts, facets and whose documents they are.

use super::*;

#[tokio::test]
async fn no_query_sees_another_tenant() {
    let bench = Bench::new().await;
    let tenants = ["acme", "acme2", "acm", "zeta"];
    for tenant in tenants {
        let docs = (0..3).map(|n| Doc {
            tenant: tenant.into(),
            fields: vec![("status".into(), s("paid")), ("only".into(), s(tenant)), ("n".into(), FieldValue::I64(n))],
            ..page(n, "Shared words", &format!("secret{tenant}"))
        });
        bench.put(docs).await;
    }
    for tenant in tenants {
        for (filter, text) in [
            (Filter::All, None),
            (Filter::cmp("status", Op::Eq, [s("paid")]), None),
            (Filter::Not(Box::new(Filter::cmp("status", Op::Eq, [s("open")]))), None),
            (Filter::cmp("only", Op::Contains, [s("a")]), None),
            (Filter::cmp("missing", Op::Null, []), Some("shared")),
            (Filter::Or(vec![Filter::All, Filter::cmp("only", Op::NotNull, [])]), Some("sec")),
        ] {
            let query = Query {
                filter,
                text: text.map(str::to_owned),
                prefix: true,
                total: true,
                facets: vec!["only".into()],
                ..Query::new(tenant)
            };
            let hits = bench.index.search(query).await.unwrap();
            assert_eq!((hits.ids.len(), hits.total), (3, Some(3)), "{tenant} {text:?}");
            assert_eq!(hits.facets["only"], [(tenant.to_owned(), 3)]);
        }
    }
    assert_eq!(bench.ids(Query { text: Some("secretzeta".into()), ..Query::new("acme") }).await.len(), 0);
    bench.index.apply(vec![delete("acme", "pages", "0")]).await.unwrap();
    bench.index.commit(BTreeMap::new()).await.unwrap();
    assert_eq!(bench.ids(Query::new("acme")).await, ["1", "2"]);
    assert_eq!(bench.ids(Query::new("acme2")).await, ["0", "1", "2"]);
    assert_eq!(bench.ids(Query::new("nobody")).await.len(), 0);
}

#[tokio::test]
async fn collections_are_chosen_or_all() {
    let bench = Bench::new().await;
    bench.put([doc("acme", "a", 1), doc("acme", "b", 1), doc("acme", "c", 0)]).await;
    let of = |names: &[&str]| Query { collections: names.iter().map(|n| (*n).into()).collect(), ..Query::new("acme") };
    assert_eq!(bench.ids(of(&["b"])).await, ["1"]);
    assert_eq!(bench.ids(of(&["c", "b", "none"])).await, ["0", "1"]);
    let all = bench.index.search(of(&[])).await.unwrap().ids;
    let all: Vec<_> = all.iter().map(|hit| (hit.id.as_str(), hit.collection.as_str())).collect();
    assert_eq!(all, [("0", "c"), ("1", "a"), ("1", "b")]);
}

#[tokio::test]
async fn facets_and_totals_are_of_all_pages() {
    let bench = Bench::new().await;
    for n in 0..9 {
        let tags =
            FieldValue::Strs(vec!["all".into(), if n % 3 == 0 { "Third" } else { "other" }.into(), "all".into()]);
        let n = FieldValue::I64(n / 5);
        bench.put([contact(format!("{n:?}{tags:?}{}", bench.index.doc_count()), [("tags", tags), ("half", n)])]).await;
    }
    let query = Query {
        limit: 0,
        total: true,
        facets: vec!["tags".into(), "half".into(), "none".into()],
        filter: Filter::cmp("half", Op::NotNull, []),
        ..Query::new("acme")
    };
    let hits = bench.index.search(query).await.unwrap();
    assert_eq!((hits.ids.len(), hits.next, hits.total), (0, None, Some(9)));
    let count = |value: &str, count| (value.to_owned(), count);
    assert_eq!(hits.facets["tags"], [count("all", 9), count("other", 6), count("Third", 3)]);
    assert_eq!(hits.facets["half"], [count("0", 5), count("1", 4)]);
    assert_eq!(hits.facets["none"], []);
}

#[tokio::test]
async fn several_sort_keys_with_missing_values_last() {
    let bench = Bench::new().await;
    let rows = [
        ("1", Some("Beta"), Some(2)),
        ("2", Some("alpha"), None),
        ("3", Some("beta"), Some(1)),
        ("4", None, Some(9)),
        ("5", Some("Ärger"), Some(5)),
        ("6", None, Some(3)),
    ];
    for (id, name, n) in rows {
        let name = name.map(|name| ("name", s(name)));
        bench.put([contact(id, name.into_iter().chain(n.map(|n| ("n", FieldValue::I64(n)))))]).await;
    }
    let by = |sort: Vec<Sort>| Query { sort, ..Query::new("acme") };
    assert_eq!(bench.ids(by(vec![Sort::ascending("n")])).await, ["3", "1", "6", "5", "4", "2"]);
    assert_eq!(bench.ids(by(vec![Sort::descending("n")])).await, ["4", "5", "6", "1", "3", "2"]);
    // "beta" and "Beta" are neighbours in a fixed order; the second key decides where the first is the same.
    let names = by(vec![Sort::ascending("name"), Sort::descending("n")]);
    assert_eq!(bench.ids(names).await, ["2", "3", "1", "5", "4", "6"]);
}

#[tokio::test]
async fn a_cursor_outlives_commits_merges_and_the_row_it_names() {
    let bench = Bench::new().await;
    let row = |n: i64| contact(format!("{n:03}"), [("name", s(&format!("Name {}", n / 2)))]);
    bench.put((0..20).map(row)).await;
    let query = Query { sort: vec![Sort::descending("name")], limit: 5, ..Query::new("acme") };
    let first = bench.index.search(query.clone()).await.unwrap();
    let last = first.ids.last().unwrap().id.clone();
    let before: Vec<_> = bench.ids(Query { limit: 100, ..query.clone() }).await;
    bench.index.apply(vec![delete("acme", "contacts", &last)]).await.unwrap();
    bench.put([contact("front", [("name", s("Zzz"))]), contact("new", [("name", s("Aaa"))])]).await;
    bench.index.purge_deleted().await.unwrap();
    let rest = bench.ids(Query { after: first.next, limit: 100, ..query }).await;
    assert_eq!(rest[..14], before[5..19]);
    assert!(rest.contains(&"new".to_owned()) && !rest.contains(&"front".to_owned()));
}

#[tokio::test]
async fn mistakes_of_a_client_are_told_apart_from_faults() {
    let bench = Bench::new().await;
    bench.put((0..3).map(|n| contact(n, []))).await;
    let ask = |query: Query| async { bench.index.search(query).await.unwrap_err() };
    let cursor = bench.index.search(Query { limit: 1, ..Query::new("acme") }).await.unwrap().next;
    let base = || Query::new("acme");
    let cases = [
        (Query { after: cursor, sort: vec![Sort::ascending("n")], ..base() }, "unknown_cursor"),
        (Query { filter: Filter::And(vec![Filter::All; 200]), ..base() }, "too_many_clauses"),
        (Query { text: Some("x".repeat(5000)), ..base() }, "text_too_long"),
        (Query { text: Some("x ".repeat(40)), ..base() }, "text_too_long"),
        (Query { limit: 100_000, ..base() }, "page_too_large"),
        (Query { sort: vec![Sort::ascending("no such;")], ..base() }, "bad_name"),
        (Query { tenant: "a\0b".into(), ..base() }, "bad_name"),
        (Query { facets: vec!["a".into(); 50], ..base() }, "too_many_clauses"),
    ];
    for (query, code) in cases {
        let error = ask(query).await;
        assert!(error.code() == code && error.is_client_mistake(), "{code}: {error:?}");
    }
}
