//! One pass over the documents that match: the filter's last word, the count, the facets, and the first K in order.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::{DocId, Score, SegmentOrdinal, SegmentReader};

use super::columns::{Columns, Matcher};
use super::layout::split_value;
use super::order::{Key, SegmentOrder};
use crate::search::{Cursor, Hit, Hits, MAX_FACET_VALUES, Query, SortValue};

/// Most distinct values of one facet that one segment hands on (those with its highest counts).
const MAX_SEGMENT_FACET_VALUES: usize = 10_000;

pub(super) struct Page<'a> {
    pub(super) query: &'a Query,
}

/// What one segment found.
#[derive(Default)]
pub(super) struct Found {
    rows: Vec<Row>,
    total: u64,
    facets: Vec<HashMap<String, u64>>,
}

struct Row {
    values: Vec<SortValue>,
    id: String,
    collection: String,
    score: f32,
}

pub(super) struct PageSegment(Option<Open>);

struct Open {
    matcher: Matcher,
    order: SegmentOrder,
    facets: Vec<Facet>,
    /// One more than the page, to know whether there is a next one.
    keep: usize,
    scored: bool,
    heap: BinaryHeap<Candidate>,
    /// Kept between documents: most are not admitted and cost no allocation.
    scratch: Vec<Key>,
    total: u64,
}

/// Ordered by keys, then identity; the heap's top is the last of the page.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    keys: Vec<Key>,
    identity: u64,
    score_bits: u32,
}

struct Facet {
    columns: Columns,
    strings: HashMap<u64, u64>,
    plain: HashMap<String, u64>,
}

impl Collector for Page<'_> {
    type Fruit = Hits;
    type Child = PageSegment;

    fn for_segment(&self, _: SegmentOrdinal, segment: &SegmentReader) -> tantivy::Result<PageSegment> {
        let query = self.query;
        let Some(order) = SegmentOrder::open(segment, query)? else { return Ok(PageSegment(None)) };
        let facet = |field: &String| {
            let columns = Columns::open(segment, field, &query.tenant)?;
            Ok(Facet { columns, strings: HashMap::new(), plain: HashMap::new() })
        };
        Ok(PageSegment(Some(Open {
            matcher: Matcher::bind(&query.filter, segment, &query.tenant)?,
            order,
            facets: query.facets.iter().map(facet).collect::<tantivy::Result<_>>()?,
            keep: if query.limit == 0 { 0 } else { query.limit + 1 },
            scored: query.by_score(),
            heap: BinaryHeap::new(),
            scratch: Vec::new(),
            total: 0,
        })))
    }

    fn requires_scoring(&self) -> bool {
        self.query.by_score()
    }

    fn merge_fruits(&self, segments: Vec<tantivy::Result<Found>>) -> tantivy::Result<Hits> {
        let query = self.query;
        let mut rows = Vec::new();
        let mut total = 0;
        let mut facets = vec![HashMap::new(); query.facets.len()];
        for found in segments {
            let found = found?;
            rows.extend(found.rows);
            total += found.total;
            for (sum, part) in facets.iter_mut().zip(found.facets) {
                part.into_iter().for_each(|(value, count)| *sum.entry(value).or_insert(0) += count);
            }
        }
        rows.sort_unstable_by(|a, b| compare(query, a, b));
        let next = (rows.len() > query.limit).then(|| rows.truncate(query.limit)).and_then(|()| rows.last());
        let next = next.map(|row| Cursor {
            shape: Cursor::shape_of(query),
            values: row.values.clone(),
            id: row.id.clone(),
            collection: row.collection.clone(),
        });
        let hit =
            |row: Row| Hit { collection: row.collection, id: row.id, score: query.by_score().then_some(row.score) };
        Ok(Hits {
            ids: rows.into_iter().map(hit).collect(),
            next,
            total: query.total.then_some(total),
            facets: query.facets.iter().cloned().zip(facets.into_iter().map(highest)).collect::<BTreeMap<_, _>>(),
        })
    }
}

fn compare(query: &Query, a: &Row, b: &Row) -> Ordering {
    let descending = |at: usize| query.sort.get(at).is_none_or(|sort| sort.descending);
    let mut keys = a.values.iter().zip(&b.values).enumerate();
    keys.find_map(|(at, (a, b))| Some(a.order(b, descending(at))).filter(|order| order.is_ne()))
        .unwrap_or_else(|| (&a.id, &a.collection).cmp(&(&b.id, &b.collection)))
}

fn highest(counts: HashMap<String, u64>) -> Vec<(String, u64)> {
    let mut list: Vec<_> = counts.into_iter().collect();
    list.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    list.truncate(MAX_FACET_VALUES);
    list
}

impl SegmentCollector for PageSegment {
    type Fruit = tantivy::Result<Found>;

    fn collect(&mut self, doc: DocId, score: Score) {
        if let Some(open) = &mut self.0
            && open.matcher.matches(doc)
        {
            open.total += 1;
            open.facets.iter_mut().for_each(|facet| facet.count(doc));
            open.offer(doc, score);
        }
    }

    fn harvest(self) -> tantivy::Result<Found> {
        self.0.map_or_else(|| Ok(Found::default()), Open::harvest)
    }
}

impl Open {
    fn offer(&mut self, doc: DocId, score: Score) {
        if self.keep == 0 {
            return;
        }
        let identity = self.order.keys(doc, score, &mut self.scratch);
        if !self.order.is_after_cursor(&self.scratch, identity) {
            return;
        }
        if self.heap.len() == self.keep {
            let Some(mut last) = self.heap.peek_mut() else { return };
            if (self.scratch.as_slice(), identity) < (last.keys.as_slice(), last.identity) {
                last.keys.clone_from(&self.scratch);
                last.identity = identity;
                last.score_bits = score.to_bits();
            }
        } else {
            self.heap.push(Candidate { keys: self.scratch.clone(), identity, score_bits: score.to_bits() });
        }
    }

    fn harvest(self) -> tantivy::Result<Found> {
        let mut rows = Vec::with_capacity(self.heap.len());
        for candidate in self.heap.into_sorted_vec() {
            let (id, collection) = self.order.identity(candidate.identity)?;
            let score = if self.scored { f32::from_bits(candidate.score_bits) } else { 0.0 };
            rows.push(Row { values: self.order.values(&candidate.keys)?, id, collection, score });
        }
        let facets = self.facets.into_iter().map(Facet::harvest).collect::<tantivy::Result<_>>()?;
        Ok(Found { rows, total: self.total, facets })
    }
}

impl Facet {
    fn count(&mut self, doc: DocId) {
        if let Some(strings) = &self.columns.strings {
            strings.ordinals().values_for_doc(doc).for_each(|ordinal| *self.strings.entry(ordinal).or_insert(0) += 1);
        }
        if let Some(numbers) = &self.columns.numbers {
            numbers.values_for_doc(doc).for_each(|v| *self.plain.entry(v.to_string()).or_insert(0) += 1);
        }
        if let Some(bools) = &self.columns.bools {
            bools.values_for_doc(doc).for_each(|v| *self.plain.entry(v.to_string()).or_insert(0) += 1);
        }
    }

    fn harvest(self) -> tantivy::Result<HashMap<String, u64>> {
        let mut counts: Vec<(u64, u64)> = self.strings.into_iter().collect();
        if counts.len() > MAX_SEGMENT_FACET_VALUES {
            counts.sort_unstable_by_key(|(_, count)| std::cmp::Reverse(*count));
            counts.truncate(MAX_SEGMENT_FACET_VALUES);
        }
        counts.sort_unstable();
        let mut merged = self.plain;
        if let Some(strings) = &self.columns.strings {
            let ordinals: Vec<u64> = counts.iter().map(|(ordinal, _)| *ordinal).collect();
            let mut each = counts.iter();
            strings.terms(&ordinals, |rest| {
                if let Some((_, count)) = each.next() {
                    *merged.entry(split_value(rest).0.to_owned()).or_insert(0) += count;
                }
            })?;
        }
        Ok(merged)
    }
}
