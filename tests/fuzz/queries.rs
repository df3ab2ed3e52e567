//! What a client can send to search: cursors and filters.

use super::mutate::run;
use projectors::search::{Cursor, Filter, Query};

#[test]
fn search_cursors() {
    // (shape, values, id, collection), as it is inside the base64.
    let corpus: [&[u8]; 3] = [b"lACQoTeoY29udGFjdHM", b"lM4AAAABkYGmTnVtYmVyKqE3oWM", b"AAAA"];
    run("search cursors", &corpus, &[b"_", b"-", b"=", b"3wAA", b"____"], |input| {
        let Ok(cursor) = String::from_utf8_lossy(input).parse::<Cursor>() else { return false };
        assert_eq!(cursor.to_string().parse::<Cursor>().expect("what is given out is taken back"), cursor);
        true
    });
}

#[test]
fn search_filters() {
    let corpus: [&[u8]; 4] = [
        br#"{"and":[{"cmp":{"field":"tags","op":"eq","values":[{"str":"vip"}]}},{"not":"all"}]}"#,
        br#"{"or":[]}"#,
        br#"{"cmp":{"field":"a.b","op":"between","values":[{"i64":1},{"time":2}]}}"#,
        br#"{"tenant":"t","limit":10,"filter":"all","sort":[{"field":"name"}],"text":"a"}"#,
    ];
    let words: [&[u8]; 8] =
        [br#"{"not":"#, br#"{"and":["#, b"]", b"}", br#""nnull""#, br#"{"bool":true}"#, b"\\ud800", b"1e999"];
    let fields = Vec::new();
    run("search filters", &corpus, &words, |input| {
        let query = serde_json::from_slice::<Query>(input).is_ok_and(|query| query.validate().is_ok());
        let Ok(filter) = serde_json::from_slice::<Filter>(input) else { return query };
        if filter.validate().is_ok() {
            filter.matches(&fields);
            let again = serde_json::to_vec(&filter).expect("encodes");
            assert_eq!(serde_json::from_slice::<Filter>(&again).expect("decodes"), filter);
        }
        true
    });
}
