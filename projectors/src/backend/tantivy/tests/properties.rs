//! The index and the memory agree: on every filter, and on every order, page by page.

use std::cmp::Ordering;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::search::samples::{self, Fields};

/// Documents in three commits (several segments), some replaced or deleted in a later one, beside another tenant's.
async fn filled(docs: &[Fields]) -> Bench {
    let bench = Bench::new().await;
    let one = |n: usize, fields: &Fields| Doc { fields: fields.clone(), ..doc("acme", "c", format!("{n:02}")) };
    for (part, chunk) in docs.chunks(docs.len().div_ceil(3).max(1)).enumerate() {
        let noise = chunk.iter().enumerate().map(|(n, fields)| Doc { tenant: "acm".into(), ..one(n, fields) });
        let stale = chunk.iter().map(|fields| one(99, fields));
        bench.put(noise.chain(stale)).await;
        let size = docs.len().div_ceil(3).max(1);
        bench.put(chunk.iter().enumerate().map(|(n, fields)| one(part * size + n, fields))).await;
    }
    bench.index.apply(vec![delete("acme", "c", "99")]).await.unwrap();
    bench.index.commit(BTreeMap::new()).await.unwrap();
    bench
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The value that counts for a sort key, as the module's documentation says.
fn sort_value(fields: &Fields, sort: &Sort) -> Option<Scalar> {
    let values = scalars(fields.iter().filter(|(name, _)| *name == sort.field).map(|(_, value)| value));
    let in_order = |a: &Scalar, b: &Scalar| compare(a, b);
    if sort.descending { values.into_iter().max_by(in_order) } else { values.into_iter().min_by(in_order) }
}

fn compare(a: &Scalar, b: &Scalar) -> Ordering {
    match (a, b) {
        (Scalar::Text(a), Scalar::Text(b)) => {
            let form = |text: &str| if lower(text) == text { String::new() } else { text.to_owned() };
            (lower(a), form(a)).cmp(&(lower(b), form(b)))
        }
        _ => a.cmp(b),
    }
}

fn compare_rows(sorts: &[Sort], a: &Fields, b: &Fields) -> Ordering {
    let by = |sort: &Sort| match (sort_value(a, sort), sort_value(b, sort)) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) if sort.descending => compare(&b, &a),
        (Some(a), Some(b)) => compare(&a, &b),
    };
    sorts.iter().map(by).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn filters_mean_the_same_in_memory(
        docs in vec(samples::fields(), 1..40),
        filters in vec(samples::filter(), 40),
    ) {
        runtime().block_on(async {
            let bench = filled(&docs).await;
            for filter in filters.into_iter().filter(|filter| filter.validate().is_ok()) {
                let query = Query { filter: filter.clone(), limit: 100, total: true, ..Query::new("acme") };
                let hits = bench.index.search(query).await.unwrap();
                let got: Vec<String> = hits.ids.into_iter().map(|hit| hit.id).collect();
                let all = docs.iter().enumerate();
                let want: Vec<String> =
                    all.filter(|(_, fields)| filter.matches(fields)).map(|(n, _)| format!("{n:02}")).collect();
                prop_assert_eq!(hits.total, Some(want.len() as u64));
                prop_assert_eq!(got, want, "{:?}", filter);
            }
            Ok(())
        })?;
    }

    #[test]
    fn pages_in_any_order_are_the_whole_list(
        docs in vec(samples::fields(), 1..40),
        orders in vec((vec((samples::sort_field(), any::<bool>()), 0..3), 1_usize..7), 12),
    ) {
        runtime().block_on(async {
            let bench = filled(&docs).await;
            for (sort, limit) in orders {
                let sort: Vec<Sort> = sort.into_iter().map(|(field, descending)| Sort { field, descending }).collect();
                let mut want: Vec<usize> = (0..docs.len()).collect();
                want.sort_by(|a, b| compare_rows(&sort, &docs[*a], &docs[*b]));
                let want: Vec<String> = want.into_iter().map(|n| format!("{n:02}")).collect();
                let (mut got, mut after) = (Vec::new(), None);
                loop {
                    let query = Query { sort: sort.clone(), limit, after, ..Query::new("acme") };
                    let hits = bench.index.search(query).await.unwrap();
                    got.extend(hits.ids.into_iter().map(|hit| hit.id));
                    let Some(next) = hits.next else { break };
                    prop_assert!(got.len() <= docs.len(), "pages never end");
                    after = Some(next.to_string().parse::<Cursor>().unwrap());
                }
                prop_assert_eq!(got, want, "{:?}", sort);
            }
            Ok(())
        })?;
    }
}
