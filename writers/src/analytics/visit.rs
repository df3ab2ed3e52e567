//! A visit out of a request: bounded, and without anything that leads to a person. Record it with `Facts::record`.

use bus_schema::analytics::visit::{Device, PageVisited};
use std::net::IpAddr;
use uuid::Uuid;

/// The longest path kept, in bytes; the rest is cut, the visit counts.
const MAX_PATH: usize = 300;
/// The longest site name, and how much of a user agent is looked at, in bytes.
const MAX_SITE: usize = 40;
const MAX_AGENT: usize = 512;

/// What a visitor's request says, as it came.
#[derive(Clone, Copy, Debug, Default)]
pub struct VisitRequest<'a> {
    pub site: &'a str,
    /// The host the request was for: coming from there is no referral.
    pub host: &'a str,
    pub path: &'a str,
    /// The page that answered.
    pub page: Option<Uuid>,
    pub referrer: Option<&'a str>,
    pub user_agent: Option<&'a str>,
}

/// The fact of a visit. Never fails: what cannot be kept is cut or absent.
pub fn visit(request: &VisitRequest) -> PageVisited {
    let referrer_host = request.referrer.and_then(host_of);
    let own = request.host.rsplit_once(':').map_or(request.host, |(host, _)| host);
    PageVisited {
        site: cut(request.site, MAX_SITE).to_owned(),
        path: path(request.path),
        page: request.page,
        referrer_host: referrer_host.filter(|host| !host.eq_ignore_ascii_case(own)),
        device: device(request.user_agent.unwrap_or_default()),
        times: 1,
    }
}

/// The path without query and fragment, where people's data mostly is, and without segments that hold an e-mail address.
fn path(asked: &str) -> String {
    let bare = asked.split(['?', '#']).next().unwrap_or_default();
    let personal = |segment: &str| segment.contains('@') || segment.to_ascii_lowercase().contains("%40");
    let kept = bare.trim_start_matches('/').split('/').map(|part| if personal(part) { "*" } else { part });
    let path: String = kept.fold(String::new(), |path, segment| path + "/" + segment);
    cut(&path, MAX_PATH).chars().filter(|c| !c.is_control()).collect()
}

/// The host of an http(s) address, lower case; no bare IP address, which may be a person's own.
fn host_of(referrer: &str) -> Option<String> {
    let (scheme, rest) = referrer.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let host = authority.rsplit('@').next()?.split(':').next()?.trim_end_matches('.').to_ascii_lowercase();
    let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'.';
    let plain = (1..=253).contains(&host.len()) && host.bytes().all(allowed) && host.parse::<IpAddr>().is_err();
    plain.then_some(host)
}

/// As coarse as a report needs it. The words are those of the agents' own names, most telling first.
fn device(agent: &str) -> Device {
    let agent = cut(agent, MAX_AGENT).to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| agent.contains(word));
    const BOT: [&str; 15] = [
        "bot",
        "crawl",
        "spider",
        "slurp",
        "preview",
        "facebookexternalhit",
        "monitor",
        "headless",
        "curl/",
        "wget/",
        "python",
        "java/",
        "go-http-client",
        "okhttp",
        "http-client",
    ];
    if says(&BOT) {
        Device::Bot
    } else if says(&["mobi", "android", "iphone", "ipad", "ipod"]) {
        Device::Mobile
    } else if says(&["windows nt", "macintosh", "x11", "cros ", "linux"]) {
        Device::Desktop
    } else {
        Device::Other
    }
}

/// At most `max` bytes of a text, whole characters.
fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        EventStore,
        backend::memory::MemoryStore,
        facts::{Fact, Facts},
        harness::NOW,
        writer::Meta,
    };
    use bus_schema::{AnyEvent, Cell, CommandId, TenantId, analytics::visit::VisitEvent};

    #[test]
    fn paths_lose_queries_and_addresses_and_are_bounded() {
        let cases = [
            ("/about/team?mail=ada@x.org#top", "/about/team"),
            ("", "/"),
            ("//a", "/a"),
            ("/leave/ada@x.org/now", "/leave/*/now"),
            ("/leave/ada%40x.org", "/leave/*"),
            ("/a\r\nb\u{0}", "/ab"),
        ];
        for (asked, kept) in cases {
            assert_eq!(path(asked), kept);
        }
        let long = path(&format!("/{}", "ä".repeat(500)));
        assert!(long.len() <= MAX_PATH && long.ends_with('ä'));
    }

    #[test]
    fn referrers_are_hosts_of_other_sites() {
        let from = |referrer| {
            let request =
                VisitRequest { host: "Shop.example:8080", referrer: Some(referrer), ..VisitRequest::default() };
            visit(&request).referrer_host
        };
        assert_eq!(from("https://Search.Example:443/?q=secret").as_deref(), Some("search.example"));
        assert_eq!(from("https://user:pass@search.example/x").as_deref(), Some("search.example"));
        for none in [
            "https://shop.example/cart",
            "android-app://com.mail",
            "about:blank",
            "",
            "https://",
            "https://192.0.2.7/",
            "https://[2001:db8::1]/",
            "https://a b/",
            "javascript://x",
            "https://ä.de/",
        ] {
            assert_eq!(from(none), None, "{none:?} must not be kept");
        }
        assert_eq!(from(&format!("https://{}.de", "a".repeat(300))), None);
    }

    #[test]
    fn devices_are_told_apart() {
        let cases = [
            ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/150.0", Device::Desktop),
            ("Mozilla/5.0 (X11; Linux x86_64) Chrome/150.0", Device::Desktop),
            ("Mozilla/5.0 (Linux; Android 16; Pixel) Mobile Safari", Device::Mobile),
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X)", Device::Mobile),
            ("Mozilla/5.0 (compatible; Examplebot/2.1; +http://example.org)", Device::Bot),
            ("curl/8.9", Device::Bot),
            ("", Device::Other),
            ("SomethingNew/1.0", Device::Other),
        ];
        for (agent, expected) in cases {
            assert_eq!(device(agent), expected, "{agent}");
        }
        assert_eq!(device(&format!("{}bot", "ä".repeat(600))), Device::Other, "only the beginning is looked at");
    }

    #[tokio::test]
    async fn visits_are_recorded_together() {
        let log = MemoryStore::default();
        let facts = Facts::new(Cell::try_new("eu1").unwrap(), EventStore::Memory(log.clone()));
        let fact = |n: u32, tenant: &str| Fact {
            tenant: TenantId::try_new(tenant).unwrap(),
            meta: Meta::system("visits", CommandId::derived(&["visit", &n.to_string()])),
            at: NOW,
            fact: VisitEvent::Visited(PageVisited { times: n, ..visit(&VisitRequest::default()) }),
        };
        facts.record_all(&[fact(1, "demo"), fact(2, "demo"), fact(3, "other")]).await.unwrap();
        facts.record_all::<VisitEvent>(&[]).await.unwrap();
        let times: Vec<_> = log.events().iter().map(|stored| (stored.seq, stored.decode().unwrap().unwrap())).collect();
        assert_eq!(times.len(), 3);
        assert_eq!(times[2], (3, AnyEvent::Visit(fact(3, "other").fact)));
        assert_eq!(log.events()[0].body.len() + 7, log.events()[1].body.len(), "once is not written");
    }

    #[tokio::test]
    async fn a_visit_is_recorded_once() {
        let log = MemoryStore::default();
        let facts = Facts::new(Cell::try_new("eu1").unwrap(), EventStore::Memory(log.clone()));
        let tenant = TenantId::try_new("demo").unwrap();
        let request =
            VisitRequest { site: "main", path: "/team?x=1", user_agent: Some("curl/8"), ..VisitRequest::default() };
        let fact: VisitEvent = visit(&request).into();
        let meta = Meta::system("visits", CommandId::derived(&["visit-1"]));
        assert_eq!(facts.record(&tenant, &meta, NOW, &fact).await.unwrap(), 1);
        assert_eq!(facts.record(&tenant, &meta, NOW, &fact).await.unwrap(), 0, "the same visit again");
        let [stored] = &log.events()[..] else { panic!("one event") };
        assert!(stored.subject.to_string().starts_with("fx.eu1.demo.analytics.visit.b"), "{}", stored.subject);
        assert_eq!(stored.decode().unwrap(), Some(AnyEvent::Visit(fact)));
    }
}
