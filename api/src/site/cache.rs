//! Finished pages in memory, bounded by bytes and by number.
//!
//! An entry is valid for one version of its tenant's content (any number that grows with every change); whoever asks
//! names the current one, so a change of any page makes all of the tenant's entries stale at once and nothing has to
//! be found and removed.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use axum::http::StatusCode;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, Equivalent, OptionsBuilder, Weighter};

use super::page::CachedPage;

/// The address of a page, borrowed: a lookup allocates nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageKey<'a> {
    pub tenant: &'a str,
    /// The site, such as its host.
    pub site: &'a str,
    /// The path as requested, without the query.
    pub path: &'a str,
}

impl Hash for PageKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // `str` ends its hash with a byte that is not UTF-8, so the parts cannot run into each other.
        self.path.hash(state);
        self.site.hash(state);
        self.tenant.hash(state);
    }
}

/// [`PageKey`] in one allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
struct StoredKey {
    text: Box<str>,
    site_at: usize,
    path_at: usize,
}

impl StoredKey {
    fn new(key: PageKey<'_>) -> Self {
        let site_at = key.tenant.len();
        let text = [key.tenant, key.site, key.path].concat().into_boxed_str();
        Self { text, site_at, path_at: site_at + key.site.len() }
    }

    fn parts(&self) -> PageKey<'_> {
        let part = |range: std::ops::Range<usize>| self.text.get(range).unwrap_or_default();
        let (tenant, site) = (part(0..self.site_at), part(self.site_at..self.path_at));
        PageKey { tenant, site, path: part(self.path_at..self.text.len()) }
    }
}

impl Hash for StoredKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl Equivalent<StoredKey> for PageKey<'_> {
    fn equivalent(&self, stored: &StoredKey) -> bool {
        *self == stored.parts()
    }
}

#[derive(Debug, Clone)]
struct Entry {
    version: u64,
    page: Arc<CachedPage>,
}

/// Charges at least `least`, so that small entries are bounded in number too.
#[derive(Debug, Clone)]
struct ByMemory {
    least: u64,
}

impl Weighter<StoredKey, Entry> for ByMemory {
    fn weight(&self, key: &StoredKey, entry: &Entry) -> u64 {
        ((key.text.len() + entry.page.weight()) as u64).max(self.least)
    }
}

/// Addresses without a page usually share one answer: what one costs is its address.
#[derive(Debug, Clone)]
struct ByAddress;

impl Weighter<StoredKey, Entry> for ByAddress {
    fn weight(&self, key: &StoredKey, _: &Entry) -> u64 {
        key.text.len() as u64 + 128
    }
}

type Store<W> = Cache<StoredKey, Entry, W, DefaultHashBuilder, DefaultLifecycle<StoredKey, Entry>>;

/// How much a cache may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// Bytes of all pages and redirects, coded bodies included.
    pub bytes: u64,
    /// Pages and redirects.
    pub entries: u64,
    /// Bytes of addresses without a page. Apart from the pages, so that a scan of made-up addresses displaces none.
    pub missing_bytes: u64,
    /// Longer addresses are answered and not kept.
    pub key_bytes: usize,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self { bytes: 64 * 1024 * 1024, entries: 16_384, missing_bytes: 2 * 1024 * 1024, key_bytes: 2048 }
    }
}

/// The cache. Share it in an `Arc`.
pub struct PageCache {
    pages: Store<ByMemory>,
    missing: Store<ByAddress>,
    key_bytes: usize,
}

impl std::fmt::Debug for PageCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PageCache").field("entries", &self.len()).field("bytes", &self.weight()).finish()
    }
}

/// Each shard has its part of the bytes and holds no page larger than that: few shards, large pages.
const SHARDS: usize = 8;

fn store<W: Weighter<StoredKey, Entry> + Clone>(weight: u64, items: u64, weighter: W) -> Store<W> {
    let options = OptionsBuilder::new()
        .shards(SHARDS)
        .estimated_items_capacity(usize::try_from(items).unwrap_or(usize::MAX))
        .weight_capacity(weight)
        .build()
        .expect("the items and the weight are set above");
    Cache::with_options(options, weighter, DefaultHashBuilder::default(), DefaultLifecycle::default())
}

impl PageCache {
    pub fn new(limits: &CacheLimits) -> Self {
        let entries = limits.entries.max(1);
        // Sizes the tables; a page takes about 16 KiB.
        let expected = (limits.bytes / (16 * 1024)).clamp(64, entries.max(64));
        Self {
            pages: store(limits.bytes, expected, ByMemory { least: limits.bytes.div_ceil(entries) }),
            missing: store(limits.missing_bytes, (limits.missing_bytes / 256).max(64), ByAddress),
            key_bytes: limits.key_bytes,
        }
    }

    /// The page, when it was made from this version of the tenant's content.
    pub fn get(&self, key: PageKey<'_>, version: u64) -> Option<Arc<CachedPage>> {
        let current = |entry: Entry| (entry.version == version).then_some(entry.page);
        self.pages.get(&key).and_then(current).or_else(|| self.missing.get(&key).and_then(current))
    }

    /// Keeps a page, a redirect or a 404; other answers are of the moment and are not kept.
    ///
    /// `version` is the one that was current *before* the content was read: a change that came between then makes the
    /// entry stale, never wrong.
    pub fn put(&self, key: PageKey<'_>, version: u64, page: Arc<CachedPage>) {
        if key.tenant.len() + key.site.len() + key.path.len() > self.key_bytes {
            return;
        }
        let older = |entry: &Entry| entry.version <= version;
        let is_missing = page.status() == StatusCode::NOT_FOUND;
        if is_missing && self.missing.peek(&key).as_ref().is_none_or(older) {
            self.pages.remove_if(&key, older);
            self.missing.insert(StoredKey::new(key), Entry { version, page });
        } else if matches!(page.status(), StatusCode::OK | StatusCode::MOVED_PERMANENTLY)
            && self.pages.peek(&key).as_ref().is_none_or(older)
        {
            self.missing.remove_if(&key, older);
            self.pages.insert(StoredKey::new(key), Entry { version, page });
        }
    }

    /// Entries, stale ones included.
    pub fn len(&self) -> usize {
        self.pages.len() + self.missing.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held, as far as they are counted.
    pub fn weight(&self) -> u64 {
        self.pages.weight() + self.missing.weight()
    }

    /// Forgets everything, for an operator.
    pub fn clear(&self) {
        self.pages.clear();
        self.missing.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::page::PageHead;

    fn key(path: &str) -> PageKey<'_> {
        PageKey { tenant: "acme", site: "acme.example", path }
    }

    fn page(html: &str) -> Arc<CachedPage> {
        Arc::new(CachedPage::page(html.to_owned(), &PageHead::default()))
    }

    #[test]
    fn any_change_of_the_tenant_makes_its_entries_stale() {
        let cache = PageCache::new(&CacheLimits::default());
        cache.put(key("/"), 7, page("a"));
        assert_eq!(cache.get(key("/"), 7).unwrap().html(), "a");
        assert!(cache.get(key("/"), 8).is_none());
        cache.put(key("/"), 8, page("b"));
        assert_eq!(cache.get(key("/"), 8).unwrap().html(), "b");
        // A slow renderer of the old version does not displace the new one.
        cache.put(key("/"), 7, page("a"));
        assert_eq!(cache.get(key("/"), 8).unwrap().html(), "b");
        for other in [
            PageKey { tenant: "acm", site: "eacme.example", path: "/" },
            PageKey { tenant: "other", site: "acme.example", path: "/" },
            key("/x"),
        ] {
            assert!(cache.get(other, 8).is_none());
        }
    }

    #[test]
    fn misses_and_redirects_are_kept_and_errors_are_not() {
        let cache = PageCache::new(&CacheLimits::default());
        cache.put(key("/none"), 1, Arc::new(CachedPage::not_found("gone", &PageHead::default())));
        cache.put(key("/old"), 1, Arc::new(CachedPage::redirect("/new", "en", "Acme").unwrap()));
        cache.put(key("/broken"), 1, Arc::new(CachedPage::failed(StatusCode::INTERNAL_SERVER_ERROR, "en", "Acme")));
        assert_eq!(cache.get(key("/none"), 1).unwrap().status(), StatusCode::NOT_FOUND);
        assert_eq!(cache.get(key("/old"), 1).unwrap().status(), StatusCode::MOVED_PERMANENTLY);
        assert!(cache.get(key("/broken"), 1).is_none());
        // A page appears where there was none, and goes again.
        cache.put(key("/none"), 2, page("here"));
        assert_eq!(cache.get(key("/none"), 2).unwrap().status(), StatusCode::OK);
        cache.put(key("/none"), 3, Arc::new(CachedPage::not_found("gone", &PageHead::default())));
        assert_eq!(cache.get(key("/none"), 3).unwrap().status(), StatusCode::NOT_FOUND);
        cache.clear();
        assert!(cache.is_empty());
    }

    #[test]
    fn it_stays_within_its_bounds() {
        let limits = CacheLimits { bytes: 1 << 20, entries: 100, missing_bytes: 1 << 15, key_bytes: 64 };
        let cache = PageCache::new(&limits);
        let (shared, gone) = (page("x"), Arc::new(CachedPage::not_found("gone", &PageHead::default())));
        for index in 0..2000 {
            cache.put(key(&format!("/{index}")), 1, Arc::clone(&shared));
            cache.put(key(&format!("/none/{index}")), 1, Arc::clone(&gone));
        }
        assert!(cache.pages.len() <= 100 && !cache.pages.is_empty(), "{cache:?}");
        assert!(cache.missing.weight() <= limits.missing_bytes && !cache.missing.is_empty(), "{cache:?}");
        let large = page(&"y".repeat(100_000));
        for index in 0..50 {
            cache.put(key(&format!("/large/{index}")), 1, Arc::clone(&large));
        }
        assert!(cache.pages.weight() <= limits.bytes, "{cache:?}");
        cache.put(key(&"/long".repeat(100)), 1, shared);
        assert!(cache.get(key(&"/long".repeat(100)), 1).is_none());
    }
}
