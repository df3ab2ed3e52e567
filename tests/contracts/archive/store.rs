//! The contract of the object store over memory and over a real S3 server.

use crate::support::S3Server;
use bytes::Bytes;
use futures::future::join_all;
use workers::archive::{
    ObjectError, ObjectStore, ObjectStorePort,
    backend::{
        memory::MemoryObjects,
        s3::{S3Objects, S3Options},
    },
    object_store::{Put, Replace},
};

async fn backends() -> Vec<ObjectStore> {
    vec![ObjectStore::memory(MemoryObjects::new("memory")), S3Server::north().bucket().await]
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_created_once_and_read_whole_or_in_part() {
    for store in backends().await {
        let Put::Created(tag) = store.put_new("a/one", bytes("0123456789")).await.expect("put") else {
            panic!("{store:?}: it was not there");
        };
        assert_eq!(store.put_new("a/one", bytes("other")).await.expect("put"), Put::AlreadyThere, "{store:?}");
        let found = store.get("a/one", 10).await.expect("there");
        assert_eq!((found.bytes, found.tag), (bytes("0123456789"), tag), "{store:?}");
        assert_eq!(store.get_range("a/one", 2..5).await.expect("there"), bytes("234"));
        assert_eq!(store.get_range("a/one", 8..50).await.expect("there"), bytes("89"));
        assert!(store.get_range("a/one", 10..12).await.expect_err("behind its end").is_not_found(), "{store:?}");
        let large = store.get("a/one", 9).await.expect_err("too large");
        assert!(matches!(large, ObjectError::TooLarge { length: 10, limit: 9, .. }), "{store:?}: {large}");
        assert!(store.get("a/two", 10).await.expect_err("absent").is_not_found(), "{store:?}");
        let invalid = store.put_new("a/../b", bytes("x")).await.expect_err("no key");
        assert!(matches!(invalid, ObjectError::InvalidKey { .. }));
        let big = Bytes::from(vec![7; 3 << 20]);
        assert!(matches!(store.put_new("big", big.clone()).await.expect("put"), Put::Created(_)));
        assert_eq!(store.get("big", big.len()).await.expect("there").bytes, big);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_replaced_only_from_the_state_that_was_seen() {
    for store in backends().await {
        let Put::Created(first) = store.put_new("k", bytes("1")).await.expect("put") else { panic!("new") };
        let Replace::Replaced(second) = store.replace("k", bytes("2"), &first).await.expect("replaced") else {
            panic!("{store:?}: nobody changed it");
        };
        assert_eq!(store.replace("k", bytes("3"), &first).await.expect("answered"), Replace::Changed, "{store:?}");
        assert_eq!(store.get("k", 9).await.expect("there").bytes, bytes("2"));
        assert_eq!(store.get("k", 9).await.expect("there").tag, second);
        let absent = store.replace("absent", bytes("x"), &first).await.expect("answered");
        assert_eq!(absent, Replace::Changed, "{store:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_goes_by_key_in_pages() {
    for store in backends().await {
        for number in [5, 1, 4, 2, 3] {
            store.put_new(&format!("l/m/{number:03}"), bytes("x")).await.expect("put");
        }
        store.put_new("l/n/001", bytes("four")).await.expect("put");
        let keys = |listing: &workers::archive::object_store::Listing| {
            listing.objects.iter().map(|object| object.key.clone()).collect::<Vec<_>>()
        };
        let page = store.list("l/m/", None, 2).await.expect("listed");
        assert_eq!((keys(&page), page.more), (vec!["l/m/001".into(), "l/m/002".into()], true), "{store:?}");
        let page = store.list("l/m/", Some("l/m/002"), 9).await.expect("listed");
        assert_eq!((keys(&page).len(), page.more), (3, false), "{store:?}");
        let page = store.list("l/m/", Some("l/m/0035"), 9).await.expect("listed");
        assert_eq!(keys(&page), ["l/m/004", "l/m/005"], "{store:?}: after a key that does not exist");
        let page = store.list("l/n/", None, 9).await.expect("listed");
        assert_eq!(page.objects[0].length, 4);
        assert!(store.list("nothing/", None, 9).await.expect("listed").objects.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_writers_at_once_one_wins() {
    for store in backends().await {
        for round in 0..20 {
            let key = format!("race/{round}");
            let puts = (0..8).map(|writer| store.put_new(&key, Bytes::from(vec![writer; 100])));
            let won = join_all(puts).await.into_iter().filter_map(|put| match put {
                Ok(Put::Created(tag)) => Some(tag),
                // 409 while another one is under way is an answer too.
                Ok(Put::AlreadyThere) | Err(ObjectError::Conflict { .. }) => None,
                Err(error) => panic!("{store:?}: {error}"),
            });
            let won: Vec<_> = won.collect();
            assert_eq!(won.len(), 1, "{store:?}, round {round}: one creates it");
            let replaces = (0..8).map(|writer| store.replace(&key, Bytes::from(vec![writer; 50]), &won[0]));
            let replaced = join_all(replaces).await.into_iter().filter(|it| matches!(it, Ok(Replace::Replaced(_))));
            assert_eq!(replaced.count(), 1, "{store:?}, round {round}: one replaces it");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_lie_below_the_prefix() {
    let server = S3Server::north();
    server.bucket().await;
    let open = |prefix: &str| {
        let options = S3Options { prefix: prefix.into(), ..server.options(S3Server::BUCKET) };
        S3Objects::try_new(options).expect("a client")
    };
    let (one, two, all) = (open("p/one"), open("p/two"), open(""));
    one.put_new("k", bytes("1")).await.expect("put");
    two.put_new("k", bytes("2")).await.expect("put");
    assert_eq!(one.get("k", 9).await.expect("there").bytes, bytes("1"));
    assert_eq!(one.list("", None, 9).await.expect("listed").objects.len(), 1);
    assert_eq!(all.list("p/", None, 9).await.expect("listed").objects[1].key, "p/two/k");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_does_not_let_us_in_is_named_with_its_answer() {
    let server = S3Server::north();
    server.bucket().await;
    let refused = |options: S3Options| async move {
        ObjectStore::s3(S3Objects::try_new(options).expect("a client")).check().await.expect_err("refused")
    };
    let wrong = S3Options { access_key: "nobody".into(), ..server.options(S3Server::BUCKET) };
    let text = refused(wrong).await.to_string();
    assert!(text.contains("north") && text.contains("403 InvalidAccessKeyId"), "{text}");
    let wrong = S3Options { secret_key: String::from("guessed").into(), ..server.options(S3Server::BUCKET) };
    let error = refused(wrong).await;
    assert!(matches!(error, ObjectError::Refused { status: 403, .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("guessed"), "no secret in an error");
    let text = refused(server.options("no-such-bucket")).await.to_string();
    assert!(text.contains("404 NoSuchBucket"), "{text}");
    let nobody = S3Options::parse("south", "http://127.0.0.1:9/archive", "a", "b").expect("an address");
    let error = refused(nobody).await;
    assert!(matches!(error, ObjectError::Unknown { .. }) && error.to_string().contains("south"), "{error}");
}
